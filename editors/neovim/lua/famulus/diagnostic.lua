--- Diagnostics as the protocol has them.
local M = {}

local api = vim.api

--- The protocol's form of a diagnostic of Neovim.
---@param found vim.lsp.Client
---@param diagnostic vim.Diagnostic
---@return table
function M.to_lsp(found, diagnostic)
  local original = vim.tbl_get(diagnostic, "user_data", "lsp")
  if original and original.range then
    return original
  end
  local function position(row, col)
    local line = api.nvim_buf_get_lines(diagnostic.bufnr, row, row + 1, false)[1] or ""
    return { line = row, character = vim.str_utfindex(line, found.offset_encoding, math.min(col, #line), false) }
  end
  return {
    range = {
      start = position(diagnostic.lnum, diagnostic.col),
      ["end"] = position(diagnostic.end_lnum or diagnostic.lnum, diagnostic.end_col or diagnostic.col),
    },
    message = diagnostic.message,
    severity = diagnostic.severity,
    source = diagnostic.source,
    code = diagnostic.code,
  }
end

return M
