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
