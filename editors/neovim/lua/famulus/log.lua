--- Errors go to Neovim's log of language servers and to :checkhealth, never into the face of somebody who types.
local M = {}

---@type string|nil the last error, for :checkhealth
M.last = nil

--- Note an error.
---@param text string a format
---@param ... any
function M.note(text, ...)
  M.last = ("%s: %s"):format(os.date("%H:%M:%S"), text:format(...))
  vim.lsp.log.error("famulus", M.last)
end

---@type table<string, boolean>
local told = {}

--- Say something once, and not before the user has stopped typing.
---@param text string
function M.tell(text)
  if told[text] then
    return
  end
  told[text] = true
  local function say()
    vim.notify("Famulus: " .. text, vim.log.levels.WARN)
  end
  if vim.api.nvim_get_mode().mode:sub(1, 1) == "i" then
    vim.api.nvim_create_autocmd("InsertLeave", { once = true, callback = vim.schedule_wrap(say) })
  else
    say()
  end
end

--- Let everything be said again, after the user has asked for another try.
function M.reset()
  told = {}
end

--- `callback`, whose errors are noted.
---@param callback function
---@return function
function M.guarded(callback)
  return function(...)
    local ok, result = xpcall(callback, debug.traceback, ...)
    if ok then
      return result
    end
    M.note("%s", result)
    return nil
  end
end

return M
