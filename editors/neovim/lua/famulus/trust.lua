--- The folders that the user trusts: one a line, in a file of Neovim's state.
local M = {}

---@return string
local function file()
  return vim.fs.joinpath(vim.fn.stdpath("state"), "famulus", "trusted")
end

---@return string[]
local function read()
  local opened = io.open(file())
  if not opened then
    return {}
  end
  local text = opened:read("*a")
  opened:close()
  return vim.split(text, "\n", { trimempty = true })
end

--- Is this root trusted? The option decides; without it, what the user said of the folder.
---@param options famulus.Options
---@param root string|nil
---@return boolean
function M.is(options, root)
  if type(options.trusted) == "function" then
    return options.trusted(root) == true
  elseif options.trusted ~= nil then
    return options.trusted == true
  end
  return root ~= nil and vim.list_contains(read(), vim.fs.normalize(root))
end

--- Trust a folder from now on, or no longer.
---@param root string
---@param trusted boolean
function M.set(root, trusted)
  root = vim.fs.normalize(root)
  local kept = vim.tbl_filter(function(other)
    return other ~= root
  end, read())
  if trusted then
    kept[#kept + 1] = root
  end
  vim.fn.mkdir(vim.fs.dirname(file()), "p", "0700")
  local opened = assert(io.open(file(), "w"))
  opened:write(table.concat(kept, "\n") .. "\n")
  opened:close()
end

return M
