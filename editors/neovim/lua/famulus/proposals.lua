--- Edits that the server proposes: a diff beside the text that grows while they are written, applied after a yes.
local M = {}

local api = vim.api

---@class famulus.Proposal
---@field client vim.lsp.Client
---@field id string
---@field source integer the buffer that would be changed
---@field buffer integer what it would become
---@field window integer
---@field compared boolean the user has a diff with the text already
---@field label string
---@field note string what was checked
---@field answer fun(yes: boolean)|nil set while the server waits for an answer
---@type table<string, famulus.Proposal>
local open = {}
---@type table<string, boolean> discarded while they were written: what is still told of them is not shown
local unwanted = {}

--- The one edit of one document, there already or new, that needs a yes, or nil if `edit` is anything else.
---@param edit lsp.WorkspaceEdit
---@return { id: string, change: lsp.TextDocumentEdit, label: string, note: string }|nil without annotations
local function proposed(edit)
  local id, annotation = next(edit.changeAnnotations or {})
  local changes = edit.documentChanges or {}
  if not id or next(edit.changeAnnotations, id) or not annotation.needsConfirmation then
    return nil
  end
  local new = #changes == 2 and changes[1].kind == "create"
  local only = changes[#changes]
  if not only or not only.edits or (#changes > 1 and not new) then
    return nil
  end
  local edits = vim.tbl_map(function(one)
    return { range = one.range, newText = one.newText }
  end, only.edits)
  local change = { textDocument = only.textDocument, edits = edits }
  return { id = id, change = change, label = annotation.label, note = annotation.description or "" }
end

--- Is the text still that for which the edit was made?
---@param change lsp.TextDocumentEdit
---@return boolean
local function current(change)
  local version = change.textDocument.version
  local bufnr = vim.uri_to_bufnr(change.textDocument.uri)
  return type(version) ~= "number" or version == vim.lsp.util.buf_versions[bufnr]
end

--- What the keys of the preview do, for its bar.
---@param shown famulus.Proposal
local function label(shown)
  if not api.nvim_win_is_valid(shown.window) then
    return
  end
  local keys = require("famulus").options.keys
  local accept = keys and keys.accept or ":Famulus apply"
  local text = ("%s: being written; q discards"):format(shown.label)
  if shown.answer then
    local note = shown.note ~= "" and (" (%s)"):format(shown.note) or ""
    text = ("%s%s: %s applies, q discards"):format(shown.label, note, accept)
  end
  api.nvim_set_option_value("winbar", (text:gsub("%%", "%%%%")), { scope = "local", win = shown.window })
end

--- Take a proposal from the screen.
---@param shown famulus.Proposal
local function close(shown)
  open[shown.id] = nil
  if api.nvim_buf_is_valid(shown.buffer) then
    pcall(api.nvim_buf_delete, shown.buffer, { force = true }) -- the last window of all cannot be closed
  end
  for _, window in ipairs(shown.compared and {} or vim.fn.win_findbuf(shown.source)) do
    api.nvim_win_call(window, function()
      vim.cmd.diffoff()
    end)
  end
end

--- The user's answer. Yes counts only when all is written.
---@param shown famulus.Proposal
---@param yes boolean
local function settle(shown, yes)
  if open[shown.id] ~= shown then
    return
  end
  local answer = shown.answer
  if yes and not answer then
    vim.notify("Famulus: this is still being written.")
    return
  end
  close(shown)
  if answer then
    answer(yes)
  else
    unwanted[shown.id] = true
    shown.client:notify("famulus/discardProposal", { id = shown.id })
  end
end

---@param shown famulus.Proposal
local function map(shown)
  local function key(lhs, yes, about)
    if lhs and lhs ~= "" then
      vim.keymap.set("n", lhs, function()
        settle(shown, yes)
      end, { buffer = shown.buffer, nowait = true, desc = "Famulus: " .. about })
    end
  end
  local keys = require("famulus").options.keys or {}
  key("q", false, "Discard the edit")
  key(keys.dismiss, false, "Discard the edit")
  key(keys.accept, true, "Apply the edit")
end

--- Open a diff beside the text. The cursor goes there, unless the user does something else meanwhile.
---@param shown famulus.Proposal
local function open_window(shown)
  local left = vim.fn.bufwinid(shown.source)
  local here = api.nvim_get_current_buf() == shown.source or left == -1
  local enter = here and api.nvim_get_mode().mode == "n"
  shown.window = api.nvim_open_win(shown.buffer, enter, { split = "right", win = left ~= -1 and left or 0 })
  shown.compared = left ~= -1 and vim.wo[left].diff
  for _, window in ipairs(left ~= -1 and { left, shown.window } or {}) do
    api.nvim_win_call(window, function()
      vim.cmd.diffthis()
    end)
  end
  api.nvim_create_autocmd("BufWipeout", {
    buffer = shown.buffer,
    once = true,
    callback = vim.schedule_wrap(function()
      settle(shown, false)
    end),
  })
end

---@param client vim.lsp.Client
---@param what table as proposed() gives it
---@return famulus.Proposal
local function begin(client, what)
  local source = vim.uri_to_bufnr(what.change.textDocument.uri)
  vim.fn.bufload(source) -- it may be a file that is not open
  local buffer = api.nvim_create_buf(false, true)
  vim.bo[buffer].bufhidden = "wipe"
  vim.bo[buffer].syntax = vim.filetype.match({ buf = source }) or ""
  api.nvim_buf_set_name(buffer, ("famulus://%s/%s"):format(what.id, vim.fs.basename(api.nvim_buf_get_name(source))))
  local shown = { client = client, id = what.id, source = source, buffer = buffer, label = what.label, note = "" }
  open[what.id] = shown
  return shown
end

--- Show what `edit` would make of its document; nil if it cannot be shown.
---@param client vim.lsp.Client
---@param what table as proposed() gives it
---@return famulus.Proposal|nil
local function show(client, what)
  local shown = open[what.id]
  if unwanted[what.id] or not current(what.change) then
    return shown
  end
  local new = not shown
  shown = shown or begin(client, what)
  vim.bo[shown.buffer].modifiable = true
  api.nvim_buf_set_lines(shown.buffer, 0, -1, false, api.nvim_buf_get_lines(shown.source, 0, -1, false))
  vim.lsp.util.apply_text_edits(what.change.edits, shown.buffer, client.offset_encoding)
  vim.bo[shown.buffer].modifiable = false
  if new then
    open_window(shown)
    map(shown)
  end
  shown.note = what.note
  label(shown)
  return shown
end

--- The server tells of a proposal.
---@param params { id: string, state: "growing"|"final"|"withdrawn", edit: lsp.WorkspaceEdit|nil }
---@param client vim.lsp.Client
function M.told(params, client)
  if params.state == "withdrawn" then
    unwanted[params.id] = nil
    local shown = open[params.id]
    if shown then
      close(shown)
      if shown.answer then
        shown.answer(false)
      end
    end
    return
  end
  local what = params.edit and proposed(params.edit)
  if what then
    show(client, what)
  end
end

--- The server asks for an edit to be applied: the user is asked, where it needs a yes. Runs in a coroutine.
---@param params lsp.ApplyWorkspaceEditParams
---@param client vim.lsp.Client
---@return lsp.ApplyWorkspaceEditResult
function M.apply(params, client)
  local what = proposed(params.edit)
  local shown = what and show(client, what)
  if what and not shown then
    return { applied = false, failureReason = not unwanted[what.id] and "The text has changed." or nil }
  end
  if shown then
    local waiting = coroutine.running()
    shown.answer = function(yes)
      shown.answer = nil
      vim.schedule(function()
        coroutine.resume(waiting, yes)
      end)
    end
    label(shown)
    if not coroutine.yield() then
      return { applied = false }
    elseif not current(what.change) then
      return { applied = false, failureReason = "The text has changed." }
    end
  end
  -- Without its annotations, after which Neovim 0.12 would ask again.
  -- A new file comes with the first `:write`.
  local edit = what and { documentChanges = { what.change } } or params.edit
  local done, problem = pcall(vim.lsp.util.apply_workspace_edit, edit, client.offset_encoding)
  if done and shown and vim.fn.bufwinid(shown.source) == -1 then
    vim.bo[shown.source].buflisted = true
    vim.cmd.sbuffer(shown.source) -- what was applied is not saved yet
  end
  return { applied = done, failureReason = not done and problem or nil }
end

--- The proposal of the current buffer, or the only one.
---@return famulus.Proposal|nil
local function meant()
  local here = api.nvim_get_current_buf()
  for _, shown in pairs(open) do
    if shown.buffer == here or shown.source == here or vim.tbl_count(open) == 1 then
      return shown
    end
  end
  return nil
end

--- Apply or discard what is proposed.
---@param yes boolean
function M.answer(yes)
  local shown = meant()
  if shown then
    settle(shown, yes)
  else
    vim.notify("Famulus: nothing is proposed here.")
  end
end

--- The server has ended: what it proposed goes.
---@param id integer of the client
function M.forget(id)
  for _, shown in ipairs(vim.tbl_values(open)) do
    if shown.client.id == id then
      close(shown)
    end
  end
end

return M
