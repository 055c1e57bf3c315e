--- One candidate of the server against the text of a buffer: does it still fit, what of it is left, and its insertion.
local M = {}

local api = vim.api

---@class famulus.Candidate
---@field item table the server's item, as it came
---@field text string the text to insert, with "\n" as line ends
---@field row integer line at which the text starts, from 0
---@field col integer byte in that line, from 0
---@field replaced string what stands behind the cursor and gives way to a full accept
---@field tail string what stands behind that on the line

--- A candidate for the cursor of `bufnr`, or nil where the item cannot be ghost text there.
---@param item table lsp.InlineCompletionItem
---@param bufnr integer
---@param cursor integer[] row and byte, from 0
---@param encoding string position encoding of the client
---@return famulus.Candidate|nil
function M.new(item, bufnr, cursor, encoding)
  if type(item.insertText) ~= "string" or item.insertText == "" then
    return nil
  end
  local row, col = cursor[1], cursor[2]
  local line = api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1]
  if not line or col > #line then
    return nil
  end
  local first, last = col, col
  if item.range then
    if item.range.start.line ~= row or item.range["end"].line ~= row then
      return nil
    end
    first = vim.str_byteindex(line, encoding, item.range.start.character, false)
    last = vim.str_byteindex(line, encoding, item.range["end"].character, false)
    if first > col or last < col then
      return nil
    end
  end
  local candidate = {
    item = item,
    text = (item.insertText:gsub("\r\n?", "\n")),
    row = row,
    col = first,
    replaced = line:sub(col + 1, last),
    tail = line:sub(last + 1),
  }
  return M.rest(candidate, bufnr, cursor) and candidate or nil
end

--- The part of the text behind the cursor, or nil when what was typed does not lead there (or nothing is left).
---@param candidate famulus.Candidate
---@param bufnr integer
---@param cursor integer[]
---@return string|nil
function M.rest(candidate, bufnr, cursor)
  local row, col = cursor[1], cursor[2]
  if row < candidate.row or (row == candidate.row and col < candidate.col) then
    return nil
  end
  local line = api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1]
  if not line or line:sub(col + 1) ~= candidate.replaced .. candidate.tail then
    return nil
  end
  local ok, before = pcall(api.nvim_buf_get_text, bufnr, candidate.row, candidate.col, row, col, {})
  if not ok then
    return nil
  end
  local typed = table.concat(before, "\n")
  if #typed >= #candidate.text or candidate.text:sub(1, #typed) ~= typed then
    return nil
  end
  return candidate.text:sub(#typed + 1)
end

--- How many bytes of `rest` one step takes.
---@param rest string
---@param step "all"|"line"|"word"
---@return integer
function M.step(rest, step)
  if step == "all" then
    return #rest
  elseif step == "line" then
    return #rest:match("^\n*[^\n]*")
  end
  local word = rest:match("^%s*[%w_\128-\255]+") or rest:match("^%s*[^%w_%s\128-\255]+") or rest
  return #word
end

--- UTF-16 units from the start of the item's own text that `bytes` of the candidate's text stand for.
---@param candidate famulus.Candidate
---@param bytes integer
---@return integer
function M.units(candidate, bytes)
  local part = candidate.text:sub(1, bytes)
  if candidate.item.insertText:find("\r\n", 1, true) then
    part = part:gsub("\n", "\r\n")
  end
  return vim.str_utfindex(part, "utf-16")
end

--- Insert the next step at the cursor of the current window, as one step of undo of its own.
---@param candidate famulus.Candidate
---@param bufnr integer the buffer of the current window
---@param step "all"|"line"|"word"
---@return boolean whole, integer bytes accepted so far, counted from the start of the text
function M.insert(candidate, bufnr, step)
  local cursor = M.cursor()
  local rest = assert(M.rest(candidate, bufnr, cursor))
  local taken = M.step(rest, step)
  local whole = taken == #rest
  local lines = vim.split(rest:sub(1, taken), "\n", { plain = true })
  local row, col = cursor[1], cursor[2]
  M.break_undo(bufnr)
  api.nvim_buf_set_text(bufnr, row, col, row, col + (whole and #candidate.replaced or 0), lines)
  api.nvim_win_set_cursor(0, { row + #lines, (#lines == 1 and col or 0) + #lines[#lines] })
  M.break_undo(bufnr)
  return whole, #candidate.text - #rest + taken
end

--- End the current undo step: setting 'undolevels' to what it is does that (:help undo-break).
---@param bufnr integer
function M.break_undo(bufnr)
  vim.bo[bufnr].undolevels = vim.bo[bufnr].undolevels
end

--- Row and byte of the cursor, from 0.
---@return integer[]
function M.cursor()
  local position = api.nvim_win_get_cursor(0)
  return { position[1] - 1, position[2] }
end

return M
