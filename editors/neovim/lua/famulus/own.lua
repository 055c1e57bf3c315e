--- Ghost text by our own requests and our own extmarks: Neovim 0.11, and later ones with `inline = "own"`.
local M = {}

local api = vim.api
local candidates = require("famulus.candidate")
local ghost = require("famulus.ghost")
local log = require("famulus.log")
local menu = require("famulus.menu")
local report = require("famulus.report")

local METHOD = "textDocument/inlineCompletion"
local INVOKED, AUTOMATIC = 1, 2

---@class famulus.Own one buffer
---@field bufnr integer
---@field client vim.lsp.Client
---@field options famulus.Options
---@field candidates famulus.Candidate[]
---@field index integer
---@field counted boolean show which of how many
---@field unfinished boolean the model still writes what is shown
---@field pending integer|nil id of the request under way
---@field asked string|nil the state of the buffer that was asked about last
---@field told table<table, boolean> items that the server knows to be shown
---@field timer uv.uv_timer_t
local Own = {}
Own.__index = Own

---@type table<integer, famulus.Own>
local buffers = {}

--- Is ghost text wanted in this buffer now?
---@return boolean
function Own:wanted()
  return vim.g.famulus_enabled ~= false
    and vim.b[self.bufnr].famulus_enabled ~= false
    and api.nvim_get_current_buf() == self.bufnr
    and api.nvim_get_mode().mode:sub(1, 1) == "i"
    and vim.fn.reg_executing() == ""
    and (self.options.with_menu or not menu.open())
end

--- Version of the text and place of the cursor, to tell an answer that comes too late.
---@return string
function Own:state()
  local cursor = candidates.cursor()
  return ("%d:%d:%d"):format(api.nvim_buf_get_changedtick(self.bufnr), cursor[1], cursor[2])
end

--- The candidate on show and its rest, if it fits the text as it is.
---@return famulus.Candidate|nil candidate, string|nil rest
function Own:current()
  local candidate = self.candidates[self.index]
  local rest = candidate and candidates.rest(candidate, self.bufnr, candidates.cursor())
  if rest then
    return candidate, rest
  end
  return nil, nil
end

--- Draw what fits; forget what does not.
---@return boolean shown
function Own:refresh()
  local candidate, rest = self:current()
  if not candidate or not rest then
    self:forget()
    return false
  end
  local cursor = candidates.cursor()
  local count = self.counted and (" (%d/%d)"):format(self.index, #self.candidates) or nil
  ghost.draw(self.bufnr, candidate, rest, cursor, count)
  return true
end

--- Take away ghost text and what could become it.
function Own:forget()
  self.candidates, self.index, self.counted, self.unfinished = {}, 1, false, false
  ghost.clear(self.bufnr)
end

--- Cancel the request under way.
function Own:cancel()
  self.timer:stop()
  local id = self.pending
  self.pending = nil
  if id and not self.client:is_stopped() then
    self.client:cancel_request(id)
  end
end

--- The text, the cursor or the mode has changed.
function Own:update()
  if not self:wanted() then
    self:cancel()
    ghost.clear(self.bufnr)
    self.asked = nil
    return
  end
  if self:state() == self.asked then
    return
  end
  self:cancel()
  if self:refresh() and not self.unfinished then
    -- What was typed is what was shown: nothing to ask.
    return
  end
  self.timer:start(
    self.options.delay,
    0,
    vim.schedule_wrap(log.guarded(function()
      if self:wanted() and self:state() ~= self.asked then
        self:request(AUTOMATIC)
      end
    end))
  )
end

---@param kind integer
function Own:request(kind)
  self:cancel()
  local client = self.client
  if client:is_stopped() then
    return
  end
  self.asked = self:state()
  local asked = self.asked
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind }
  local sent, id
  sent, id = client:request(METHOD, params, function(err, result)
    if self.pending ~= id then
      return
    end
    self.pending = nil
    if err then
      log.note("no completion: %s", err.message or vim.inspect(err))
      return
    end
    local answered = log.guarded(function()
      self:show(result and (result.items or result) or {}, asked, kind == INVOKED)
    end)
    answered()
  end, self.bufnr)
  self.pending = sent and id or nil
end

--- Show items if the buffer is still in the state that was asked about.
---@param items table[]
---@param asked string
---@param counted boolean
---@param unfinished boolean|nil the model still writes
function Own:show(items, asked, counted, unfinished)
  if not self:wanted() or self:state() ~= asked then
    return
  end
  local fitting = {}
  for _, item in ipairs(items) do
    fitting[#fitting + 1] =
      candidates.new(item, self.bufnr, candidates.cursor(), self.client.offset_encoding)
  end
  if #fitting == 0 and counted and self:refresh() then
    return
  end
  self.candidates, self.index, self.counted = fitting, 1, counted and #fitting > 1
  self.unfinished = unfinished or false
  if self:refresh() and not unfinished then
    self:tell()
  end
end

--- Say once that the candidate on show was shown.
function Own:tell()
  local item = self.candidates[self.index].item
  if not self.told[item] then
    self.told[item] = true
    report.shown(self.client, item)
  end
end

--- Begin to show ghost text in a buffer.
---@param client vim.lsp.Client
---@param bufnr integer
---@param options famulus.Options
function M.attach(client, bufnr, options)
  M.detach(bufnr)
  local own = setmetatable({
    bufnr = bufnr,
    client = client,
    options = options,
    candidates = {},
    index = 1,
    counted = false,
    unfinished = false,
    told = setmetatable({}, { __mode = "k" }),
    timer = assert(vim.uv.new_timer()),
  }, Own)
  buffers[bufnr] = own
  local group = api.nvim_create_augroup("famulus.own." .. bufnr, {})
  local function on(events, callback)
    api.nvim_create_autocmd(events, { group = group, buffer = bufnr, callback = callback })
  end
  on(
    { "TextChangedI", "CursorMovedI", "TextChangedP" },
    log.guarded(function()
      own:update()
    end)
  )
  -- At InsertEnter the cursor has not moved yet, at the others the menu is not yet what it will be.
  on(
    { "InsertEnter", "CompleteChanged", "CompleteDone" },
    vim.schedule_wrap(log.guarded(function()
      if buffers[bufnr] == own then
        own:update()
      end
    end))
  )
  on(
    { "InsertLeave", "BufLeave", "BufUnload" },
    log.guarded(function()
      own:cancel()
      own:forget()
      own.asked = nil
    end)
  )
  if api.nvim_get_mode().mode:sub(1, 1) == "i" then
    vim.schedule(log.guarded(function()
      own:update()
    end))
  end
end

--- End that.
---@param bufnr integer
---@param client_id integer|nil only if it is with this server
function M.detach(bufnr, client_id)
  local own = buffers[bufnr]
  if own and (not client_id or own.client.id == client_id) then
    buffers[bufnr] = nil
    pcall(api.nvim_del_augroup_by_name, "famulus.own." .. bufnr)
    own:cancel()
    own:forget()
    own.timer:close()
  end
end

--- The buffer of the current window, if it shows ghost text that fits.
---@return famulus.Own|nil
local function showing()
  local own = buffers[api.nvim_get_current_buf()]
  return own and own:wanted() and own:current() and own or nil
end

--- Is there ghost text to accept?
---@return boolean
function M.visible()
  return showing() ~= nil
end

--- Insert the next step of the ghost text.
---@param step "all"|"line"|"word"
---@return boolean
function M.accept(step)
  local own = showing()
  if not own then
    return false
  end
  local candidate = assert(own:current())
  own:cancel()
  local whole, bytes = candidates.insert(candidate, own.bufnr, step)
  report.accepted(own.client, candidate, own.bufnr, whole, bytes)
  own.counted = false
  own:refresh()
  if whole then
    own:update()
  end
  return true
end

--- Show another candidate; asks for several where there is only one.
---@param by integer
---@return boolean
function M.cycle(by)
  local own = showing()
  if not own then
    return false
  end
  if #own.candidates < 2 and not own.counted then
    own.counted = true
    own:request(INVOKED)
    return true
  end
  own.index = (own.index - 1 + by) % #own.candidates + 1
  -- Candidates of one answer may fit what was typed since then or not: go on to the next that does.
  for _ = 1, #own.candidates do
    if own:current() then
      break
    end
    own.index = own.index % #own.candidates + 1
  end
  own.counted = true
  if own:refresh() then
    own:tell()
  end
  return true
end

--- Ask for several candidates here and now.
---@return boolean
function M.invoke()
  local own = buffers[api.nvim_get_current_buf()]
  if not own or not own:wanted() then
    return false
  end
  own:request(INVOKED)
  return true
end

--- Take ghost text away until the text changes.
---@return boolean
function M.dismiss()
  local own = showing()
  if not own then
    return false
  end
  own:cancel()
  own:forget()
  own.asked = own:state()
  return true
end

--- The model has written a part of an answer.
---@param client vim.lsp.Client
---@param params table
function M.partial(client, params)
  local bufnr = vim.uri_to_bufnr(params.textDocument.uri)
  local own = buffers[bufnr]
  if not own or own.client.id ~= client.id or not own.pending or not own.asked then
    return
  end
  if own:state() ~= own.asked or vim.lsp.util.buf_versions[bufnr] ~= params.textDocument.version then
    return
  end
  own:show({ params.item }, own.asked, false, true)
end

--- The engine has come: ask again where it was asked in vain.
function M.ready()
  local own = buffers[api.nvim_get_current_buf()]
  if own and not own:current() then
    M.switched()
  end
end

--- Show or hide after a switch was turned.
function M.switched()
  local own = buffers[api.nvim_get_current_buf()]
  if own then
    own.asked = nil
    own:update()
  end
end

return M
