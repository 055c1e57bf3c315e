--- Tells the server where the cursor is, so that it can prepare the first suggestion where it rests.
local M = {}

local api = vim.api

--- Begin to tell; it ends with the server.
---@param client vim.lsp.Client
---@param bufnr integer
function M.attach(client, bufnr)
  local function tell()
    local attached = vim.lsp.buf_is_attached(bufnr, client.id)
    if attached and api.nvim_get_current_buf() == bufnr then
      client:notify("famulus/didMoveCursor", vim.lsp.util.make_position_params(0, client.offset_encoding))
    end
    return not attached
  end
  api.nvim_create_autocmd({ "BufEnter", "CursorMoved", "InsertEnter" }, {
    group = api.nvim_create_augroup("famulus.cursor." .. bufnr, {}),
    buffer = bufnr,
    callback = tell,
  })
  tell()
end

return M
