--- Ghost text by Neovim 0.12's own vim.lsp.inline_completion. What it leaves open is closed here: answers for an older
--- text are dropped, superseded requests cancelled, and accepting works by word and line and runs the item's command.
local M = {}

local api = vim.api
local candidates = require("famulus.candidate")
local log = require("famulus.log")
local menu = require("famulus.menu")
local report = require("famulus.report")

local METHOD = "textDocument/inlineCompletion"
local INVOKED = 1

---@class famulus.Native one buffer
---@field client vim.lsp.Client
---@field options famulus.Options
---@field items table[] of the last answer
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
        callback(nil, { items = items })
        log.guarded(M.answered)(bufnr, items)
      end, notified)
      pending[bufnr] = sent and id or nil
      return sent, id
    end,
  }, { __index = rpc })
end

--- Is ghost text drawn at the cursor?
---@return boolean
local function drawn()
  local row = candidates.cursor()[1]
  local marks = api.nvim_buf_get_extmarks(0, namespace(), { row, 0 }, { row, -1 }, { limit = 1 })
  return #marks > 0
end

--- Does one of the items fit the text as it is?
---@param bufnr integer
---@return boolean
local function fits(bufnr)
  local state = buffers[bufnr]
  for _, item in ipairs(state.items) do
    local found = candidates.new(item, bufnr, candidates.cursor(), state.client.offset_encoding)
    if found then
      return true
    end
  end
  return false
end

--- Neovim has an answer of ours.
---@param bufnr integer
---@param items table[]
function M.answered(bufnr, items)
  local state = buffers[bufnr]
  if not state or api.nvim_get_current_buf() ~= bufnr then
    return
  end
  state.items = items
  M.hide_stale(bufnr)
  if items[1] and drawn() then
    report.shown(state.client, items[1])
  end
end

--- Neovim keeps old ghost text until the next answer; here it goes when it does not fit.
---@param bufnr integer
function M.hide_stale(bufnr)
  local state = buffers[bufnr]
  if (menu.open() and not state.options.with_menu) or not fits(bufnr) then
    api.nvim_buf_clear_namespace(bufnr, namespace(), 0, -1)
  end
end

---@param client vim.lsp.Client
---@param bufnr integer
---@param options famulus.Options
function M.attach(client, bufnr, options)
  M.detach(bufnr)
  buffers[bufnr] = { client = client, options = options, items = {}, invoke = false }
  vim.lsp.inline_completion.enable(vim.g.famulus_enabled ~= false, { client_id = client.id })
  -- Made after Neovim's own, so it runs after them.
  api.nvim_create_autocmd({ "CursorMovedI", "TextChangedI", "TextChangedP" }, {
    group = api.nvim_create_augroup("famulus.native." .. bufnr, {}),
    buffer = bufnr,
    callback = log.guarded(function()
      M.hide_stale(bufnr)
    end),
  })
end

---@param bufnr integer
function M.detach(bufnr)
  if buffers[bufnr] then
    buffers[bufnr] = nil
    pcall(api.nvim_del_augroup_by_name, "famulus.native." .. bufnr)
  end
end

---@return boolean
function M.visible()
  return buffers[api.nvim_get_current_buf()] ~= nil and drawn()
end

---@param step "all"|"line"|"word"
---@return boolean
function M.accept(step)
  local bufnr = api.nvim_get_current_buf()
  if not M.visible() then
    return false
  end
  return vim.lsp.inline_completion.get({
    on_accept = log.guarded(function(item)
      local state = buffers[bufnr]
      local client = state and state.client
      if not client or item.client_id ~= client.id then
        return item
      end
      for _, original in ipairs(state.items) do
        if original.insertText == item.insert_text then
          local candidate = candidates.new(original, bufnr, candidates.cursor(), client.offset_encoding)
          if candidate then
            local whole, bytes = candidates.insert(candidate, bufnr, step)
            report.accepted(client, candidate, bufnr, whole, bytes)
          end
          return nil
        end
      end
      return nil
    end),
  })
end

---@param by integer
---@return boolean
function M.cycle(by)
  if not M.visible() then
    return false
  end
  local state = buffers[api.nvim_get_current_buf()]
  if #state.items < 2 then
    return M.invoke()
  end
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
  buffers[bufnr].items = {}
  api.nvim_buf_clear_namespace(bufnr, namespace(), 0, -1)
  return true
end

--- The model's unfinished text is not asked for here.
function M.partial() end

function M.switched()
  for _, state in pairs(buffers) do
    vim.lsp.inline_completion.enable(vim.g.famulus_enabled ~= false, { client_id = state.client.id })
  end
end

return M
