--- Famulus for Neovim: ghost text from the engine on this machine, and what else its language server offers.
--- `:help famulus`
local M = {}

local api = vim.api
local client = require("famulus.client")
local config = require("famulus.config")
local log = require("famulus.log")

M.version = "0.1.0"

---@type famulus.Options|nil what setup() made of the user's options
M.options = nil
---@type table|nil the options as the user gave them
M.given = nil

--- Start: attach buffers of files to the language server, map keys, make the command.
---@param options table|nil see :help famulus-options
function M.setup(options)
  if vim.fn.has("nvim-0.11") == 0 then
    vim.notify("Famulus needs Neovim 0.11 or newer.", vim.log.levels.ERROR)
    return
  end
  local merged, problems = config.merged(options)
  M.options, M.given = merged, options
  if #problems > 0 then
    vim.notify("Famulus: " .. table.concat(problems, "\n"), vim.log.levels.WARN)
  end
  vim.g.famulus_enabled = merged.enabled
  require("famulus.ghost").highlights()
  require("famulus.commands").create()
  local group = api.nvim_create_augroup("famulus", {})
  api.nvim_create_autocmd({ "FileType", "BufReadPost", "BufNewFile", "BufFilePost" }, {
    group = group,
    callback = vim.schedule_wrap(log.guarded(function(event)
      if api.nvim_buf_is_loaded(event.buf) then
        client.attach(merged, event.buf)
      end
    end)),
  })
  api.nvim_create_autocmd("LspDetach", {
    group = group,
    callback = log.guarded(function(event)
      local gone = vim.lsp.get_client_by_id(event.data.client_id)
      if gone and gone.name == "famulus" then
        client.view(merged).detach(event.buf, gone.id)
      end
    end),
  })
  api.nvim_create_autocmd("ColorScheme", {
    group = group,
    callback = function()
      require("famulus.ghost").highlights()
    end,
  })
  vim.schedule(log.guarded(function()
    client.attach_all(merged)
  end))
end

---@return table|nil the module that shows ghost text, after setup()
local function view()
  return M.options and client.view(M.options)
end

--- Is there ghost text to accept at the cursor?
---@return boolean
M.visible = log.guarded(function()
  local shown = view()
  return shown ~= nil and shown.visible()
end)

--- Insert ghost text. Does nothing, and returns false, where there is none.
---@param step "all"|"line"|"word"|nil
---@return boolean
M.accept = log.guarded(function(step)
  local shown = view()
  return shown ~= nil and shown.accept(step or "all")
end)

--- Show the next candidate (1) or the one before (-1).
---@param by integer|nil
---@return boolean
M.cycle = log.guarded(function(by)
  local shown = view()
  return shown ~= nil and shown.cycle(by or 1)
end)

--- Ask for several candidates at the cursor.
---@return boolean
M.invoke = log.guarded(function()
  local shown = view()
  return shown ~= nil and shown.invoke()
end)

--- Hide ghost text until the text changes.
---@return boolean
M.dismiss = log.guarded(function()
  local shown = view()
  return shown ~= nil and shown.dismiss()
end)

--- Switch ghost text on or off, in all buffers.
---@param on boolean|nil nil: the other way round
function M.toggle(on)
  if on == nil then
    on = vim.g.famulus_enabled == false
  end
  vim.g.famulus_enabled = on
  local shown = view()
  if shown then
    shown.switched()
  end
end

--- A few characters for a status line: "" where no server works for the buffer.
---@param bufnr integer|nil
---@return string
function M.status(bufnr)
  local state = client.state(bufnr)
  if not state then
    return ""
  end
  local sign = ""
  if vim.g.famulus_enabled == false then
    sign = " off"
  elseif state.kind == "Error" or state.kind == "Warning" then
    sign = " !"
  elseif state.busy then
    sign = " …"
  elseif state.kind == "Inactive" then
    sign = " -"
  end
  return "famulus" .. sign
end

--- What the buffer's server last said of itself: kind, busy, message; nil without a server.
---@param bufnr integer|nil
---@return table|nil
function M.state(bufnr)
  return client.state(bufnr)
end

return M
