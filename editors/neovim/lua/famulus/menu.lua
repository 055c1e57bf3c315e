--- Is a completion menu open: Neovim's own, or that of a completion plugin?
local M = {}

local PLUGINS = {
  cmp = "visible",
  ["blink.cmp"] = "is_visible",
}

---@return boolean
function M.open()
  if vim.fn.pumvisible() == 1 then
    return true
  end
  for name, method in pairs(PLUGINS) do
    local plugin = package.loaded[name]
    local ask = type(plugin) == "table" and plugin[method]
    if ask then
      local ok, visible = pcall(ask)
      if ok and visible then
        return true
      end
    end
  end
  return false
end

return M
