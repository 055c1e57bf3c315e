--- Shows what the server wrote for people: a title and Markdown, in a buffer that is no file.
local M = {}

local api = vim.api

local OPENERS = {
  split = function(bufnr)
    return api.nvim_open_win(bufnr, true, { split = "below" })
  end,
  vsplit = function(bufnr)
    return api.nvim_open_win(bufnr, true, { split = "right" })
  end,
  tab = function(bufnr)
    vim.cmd.tabnew()
    local window = api.nvim_get_current_win()
    api.nvim_win_set_buf(window, bufnr)
    return window
  end,
  float = function(bufnr)
    local width = math.min(100, math.floor(vim.o.columns * 0.9))
    local height = math.min(api.nvim_buf_line_count(bufnr) + 1, math.floor(vim.o.lines * 0.8))
    return api.nvim_open_win(bufnr, true, {
      relative = "editor",
      width = width,
      height = height,
      row = math.floor((vim.o.lines - height) / 2) - 1,
      col = math.floor((vim.o.columns - width) / 2),
      border = "rounded",
      title = " Famulus ",
    })
  end,
}

--- Open `text` in a window; q closes it. A document of the same title takes the window of the one before.
---@param title string
---@param text string
---@param window "split"|"vsplit"|"float"|"tab"
---@return integer bufnr
function M.show(title, text, window)
  local name = "famulus://" .. title
  local bufnr = vim.fn.bufnr("^" .. vim.fn.escape(name, "[]*?\\^$.{},~") .. "$")
  if bufnr == -1 then
    bufnr = api.nvim_create_buf(false, true)
    api.nvim_buf_set_name(bufnr, name)
    vim.bo[bufnr].buftype = "nofile"
    vim.bo[bufnr].bufhidden = "wipe"
    vim.bo[bufnr].swapfile = false
    vim.keymap.set("n", "q", "<Cmd>close<CR>", { buffer = bufnr, desc = "Famulus: Close" })
  end
  vim.bo[bufnr].modifiable = true
  api.nvim_buf_set_lines(bufnr, 0, -1, false, vim.split(text:gsub("\r\n?", "\n"), "\n", { plain = true }))
  vim.bo[bufnr].modifiable = false
  vim.bo[bufnr].filetype = "markdown"
  local shown = vim.fn.bufwinid(bufnr)
  if shown ~= -1 then
    api.nvim_set_current_win(shown)
  else
    shown = OPENERS[window](bufnr)
  end
  vim.wo[shown].wrap = true
  vim.wo[shown].linebreak = true
  vim.wo[shown].number = false
  return bufnr
end

return M
