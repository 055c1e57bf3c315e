--- Ghost text by Neovim 0.12's own vim.lsp.inline_completion. What it leaves open is closed here: answers for an older
--- text are dropped, superseded requests cancelled, and accepting works by word and line and runs the item's command.
local M = {}

local api = vim.api
local candidates = require("famulus.candidate")
local ghost = require("famulus.ghost")
local log = require("famulus.log")
local menu = require("famulus.menu")
local report = require("famulus.report")

local METHOD = "textDocument/inlineCompletion"
local INVOKED = 1

---@class famulus.Native one buffer
---@field client vim.lsp.Client
---@field options famulus.Options
---@field candidates (famulus.Candidate|false)[] of the last answer
---@field index integer the one that Neovim shows
---@field held famulus.Candidate|nil accepted in part: drawn by us until Neovim has an answer for the new text
---@field invoke boolean the next request is to ask for several candidates

---@type table<integer, famulus.Native>
local buffers = {}

---@return integer
local function namespace()
  return api.nvim_create_namespace("nvim.lsp.inline_completion")
end

--- Is there such a thing in this Neovim?
---@return boolean
function M.available()
  return vim.lsp.inline_completion ~= nil
end

--- Has the user switched it on, for servers of all kinds?
---@return boolean
function M.enabled()
  return M.available() and vim.lsp.inline_completion.is_enabled()
end

--- A transport in front of `rpc` that watches inline completion.
---@param rpc table vim.lsp.rpc.PublicClient
---@return table
function M.transport(rpc)
  local pending = {} ---@type table<integer, integer> request under way by buffer
  return setmetatable({
    request = function(method, params, callback, notified)
      if method ~= METHOD then
        return rpc.request(method, params, callback, notified)
      end
      local bufnr = vim.uri_to_bufnr(params.textDocument.uri)
      local state = buffers[bufnr]
      if state and state.invoke then
        state.invoke = false
        params.context.triggerKind = INVOKED
      end
      if pending[bufnr] then
        rpc.notify("$/cancelRequest", { id = pending[bufnr] })
      end
      local tick = api.nvim_buf_get_changedtick(bufnr)
      local sent, id
      sent, id = rpc.request(method, params, function(err, result)
        if pending[bufnr] == id then
          pending[bufnr] = nil
        end
        if err then
          log.note("no completion: %s", err.message or vim.inspect(err))
          return callback(nil, nil)
        end
        if not api.nvim_buf_is_valid(bufnr) or api.nvim_buf_get_changedtick(bufnr) ~= tick then
          return callback(nil, nil)
        end
        local items = result and (result.items or result) or {}
        callback(nil, { items = vim.tbl_map(M.plain, items) })
        log.guarded(M.answered)(bufnr, items)
      end, notified)
      pending[bufnr] = sent and id or nil
      return sent, id
    end,
  }, { __index = rpc })
end

--- An item with the line ends of a buffer, which Neovim would show as they come.
---@param item table
---@return table
function M.plain(item)
  if type(item.insertText) ~= "string" then
    return item
  end
  return vim.tbl_extend("force", item, { insertText = (item.insertText:gsub("\r\n?", "\n")) })
end

--- Is ghost text of Neovim drawn in the line of the cursor?
---@return boolean
local function drawn()
  local row = candidates.cursor()[1]
  local marks = api.nvim_buf_get_extmarks(0, namespace(), { row, 0 }, { row, -1 }, { limit = 1 })
  return #marks > 0
end

--- The candidate on the screen and its rest, if it fits the text as it is.
---@param bufnr integer
---@return famulus.Candidate|nil candidate, string|nil rest
local function current(bufnr)
  local state = buffers[bufnr]
  local candidate = state and (state.held or (drawn() and state.candidates[state.index])) or nil
  local rest = candidate and candidates.rest(candidate, bufnr, candidates.cursor())
  -- Neovim draws at the line where the text starts, whatever was typed through since.
  if rest and (state.held or candidate.row == candidates.cursor()[1]) then
    return candidate, rest
  end
  return nil, nil
end

--- No longer draw what was accepted in part.
---@param bufnr integer
local function release(bufnr)
  local state = buffers[bufnr]
  if state and state.held then
    state.held = nil
    ghost.clear(bufnr)
  end
end

--- Neovim has an answer of ours.
---@param bufnr integer
---@param items table[]
function M.answered(bufnr, items)
  local state = buffers[bufnr]
  if not state or api.nvim_get_current_buf() ~= bufnr then
    return
  end
  release(bufnr)
  state.candidates, state.index = {}, 1
  for number, item in ipairs(items) do
    state.candidates[number] =
      candidates.new(item, bufnr, candidates.cursor(), state.client.offset_encoding) or false
  end
  M.refresh(bufnr)
  if items[1] and drawn() then
    report.shown(state.client, items[1])
  end
end

--- Neovim keeps old ghost text until the next answer; here it goes when it does not fit.
---@param bufnr integer
function M.refresh(bufnr)
  local state = buffers[bufnr]
  local candidate, rest = current(bufnr)
  if not candidate or not rest or (menu.open() and not state.options.with_menu) then
    release(bufnr)
    api.nvim_buf_clear_namespace(bufnr, namespace(), 0, -1)
  elseif state.held then
    ghost.draw(bufnr, candidate, rest, candidates.cursor())
  end
end

--- Let Neovim ask in a buffer, or not. By buffer, as what was enabled by client cannot be disabled (0.12.4).
---@param bufnr integer
local function switch(bufnr)
  local on = vim.g.famulus_enabled ~= false and vim.b[bufnr].famulus_enabled ~= false
  vim.lsp.inline_completion.enable(on, { bufnr = bufnr })
end

--- Begin to watch a buffer.
---@param client vim.lsp.Client
---@param bufnr integer
---@param options famulus.Options
function M.attach(client, bufnr, options)
  M.detach(bufnr)
  buffers[bufnr] = { client = client, options = options, candidates = {}, index = 1, invoke = false }
  switch(bufnr)
  -- Made after Neovim's own, so these run after them.
  local group = api.nvim_create_augroup("famulus.native." .. bufnr, {})
  api.nvim_create_autocmd({ "CursorMovedI", "TextChangedI", "TextChangedP" }, {
    group = group,
    buffer = bufnr,
    callback = log.guarded(function()
      M.refresh(bufnr)
    end),
  })
  api.nvim_create_autocmd({ "InsertLeave", "BufLeave" }, {
    group = group,
    buffer = bufnr,
    callback = log.guarded(function()
      release(bufnr)
    end),
  })
end

--- End that.
---@param bufnr integer
---@param client_id integer|nil only if it is with this server
function M.detach(bufnr, client_id)
  local state = buffers[bufnr]
  if state and (not client_id or state.client.id == client_id) then
    release(bufnr)
    buffers[bufnr] = nil
    pcall(api.nvim_del_augroup_by_name, "famulus.native." .. bufnr)
  end
end

---@return boolean
function M.visible()
  return current(api.nvim_get_current_buf()) ~= nil
end

---@param step "all"|"line"|"word"
---@return boolean
function M.accept(step)
  local bufnr = api.nvim_get_current_buf()
  local candidate = current(bufnr)
  if not candidate then
    return false
  end
  local take = log.guarded(function()
    local state = buffers[bufnr]
    if not state or not candidates.rest(candidate, bufnr, candidates.cursor()) then
      return
    end
    release(bufnr)
    local whole, bytes = candidates.insert(candidate, bufnr, step)
    report.accepted(state.client, candidate, bufnr, whole, bytes)
    state.candidates = {}
    if not whole then
      state.held = candidate
      M.refresh(bufnr)
    end
  end)
  -- Neovim forgets its candidate first; nil: it inserts nothing itself.
  local taken = vim.lsp.inline_completion.get({
    on_accept = function()
      take()
      return nil
    end,
  })
  if not taken then
    take()
  end
  return true
end

---@param by integer
---@return boolean
function M.cycle(by)
  if not M.visible() then
    return false
  end
  local state = buffers[api.nvim_get_current_buf()]
  if state.held or #state.candidates < 2 then
    return M.invoke()
  end
  state.index = (state.index - 1 + by) % #state.candidates + 1
  vim.lsp.inline_completion.select({ count = by })
  return true
end

--- Neovim has no call for that: the event that makes it ask, and the transport marks the request as invoked.
---@return boolean
function M.invoke()
  local bufnr = api.nvim_get_current_buf()
  local state = buffers[bufnr]
  if not state then
    return false
  end
  state.invoke = true
  api.nvim_exec_autocmds("CursorMovedI", { buffer = bufnr, modeline = false })
  return true
end

---@return boolean
function M.dismiss()
  if not M.visible() then
    return false
  end
  local bufnr = api.nvim_get_current_buf()
  buffers[bufnr].candidates = {}
  release(bufnr)
  M.refresh(bufnr)
  return true
end

--- The engine has come: ask again where it was asked in vain.
function M.ready()
  local bufnr = api.nvim_get_current_buf()
  if buffers[bufnr] and api.nvim_get_mode().mode:sub(1, 1) == "i" and not M.visible() then
    api.nvim_exec_autocmds("CursorMovedI", { buffer = bufnr, modeline = false })
  end
end

--- The model's unfinished text is not asked for here.
function M.partial() end

--- Show or hide after a switch was turned.
function M.switched()
  for bufnr in pairs(buffers) do
    release(bufnr)
    switch(bufnr)
  end
  if vim.g.famulus_enabled ~= false then
    M.ready()
  end
end

return M
