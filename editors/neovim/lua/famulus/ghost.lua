--- Draws the rest of a candidate behind the cursor.
local M = {}

local api = vim.api

M.namespace = api.nvim_create_namespace("famulus")

--- The groups that a colour scheme may set.
function M.highlights()
  local base = vim.fn.hlexists("ComplHint") == 1 and "ComplHint" or "NonText"
  api.nvim_set_hl(0, "FamulusGhost", { link = base, default = true })
  api.nvim_set_hl(0, "FamulusCount", { link = "MoreMsg", default = true })
end

--- Virtual text shows a tab as ^I, so tabs become blanks.
---@param text string
---@param column integer display column at which it starts
---@param width integer 'tabstop'
---@return string
local function expanded(text, column, width)
  if not text:find("\t", 1, true) then
    return text
  end
  local parts = vim.split(text, "\t", { plain = true })
  local out = ""
  for number, part in ipairs(parts) do
    out = out .. part
    if number < #parts then
      out = out .. (" "):rep(width - (column + vim.fn.strdisplaywidth(out)) % width)
    end
  end
  return out
end

--- Draw `rest` at `cursor`, in place of what was drawn before.
---@param bufnr integer
---@param candidate famulus.Candidate
---@param rest string
---@param cursor integer[]
---@param count string|nil such as " (1/3)"
function M.draw(bufnr, candidate, rest, cursor, count)
  local row, col = cursor[1], cursor[2]
  local tabstop = vim.bo[bufnr].tabstop
  local line = api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1] or ""
  local lines = vim.split(rest, "\n", { plain = true })
  lines[1] = expanded(lines[1], vim.fn.strdisplaywidth(line:sub(1, col)), tabstop)
  for number = 2, #lines do
    lines[number] = expanded(lines[number], 0, tabstop)
  end
  local behind = candidate.replaced .. candidate.tail
  local overlay = false
  if #lines > 1 and candidate.tail ~= "" then
    -- The text right of the cursor moves to the end of the last line on accept: show it there already.
    overlay = true
    lines[#lines] = lines[#lines] .. expanded(candidate.tail, 0, tabstop)
  elseif candidate.replaced ~= "" then
    if vim.endswith(lines[#lines], candidate.replaced) and #lines == 1 then
      lines[1] = lines[1]:sub(1, #lines[1] - #candidate.replaced)
    else
      overlay = true
      lines[#lines] = lines[#lines] .. candidate.tail
    end
  end
  if overlay then
    local hidden = vim.fn.strdisplaywidth(behind) - vim.fn.strdisplaywidth(lines[1])
    lines[1] = lines[1] .. (" "):rep(math.max(0, hidden))
  end
  local chunks = {}
  for number, text in ipairs(lines) do
    chunks[number] = { { text, "FamulusGhost" } }
  end
  if count then
    table.insert(chunks[#chunks], { count, "FamulusCount" })
  end
  M.clear(bufnr)
  api.nvim_buf_set_extmark(bufnr, M.namespace, row, col, {
    virt_text = chunks[1],
    virt_text_pos = overlay and "overlay" or "inline",
    virt_lines = #chunks > 1 and vim.list_slice(chunks, 2) or nil,
    hl_mode = "combine",
    undo_restore = false,
  })
end

--- Take away what is drawn.
---@param bufnr integer
function M.clear(bufnr)
  if api.nvim_buf_is_valid(bufnr) then
    api.nvim_buf_clear_namespace(bufnr, M.namespace, 0, -1)
  end
end

return M
