--- The options of `setup()` with their defaults, and the check of what the user wrote.
local M = {}

---@class famulus.Options
M.defaults = {
  -- Ghost text from the start; `:Famulus toggle` switches it.
  enabled = true,
  -- The command: a path, or a list with arguments of its own. nil: `famulus` on the PATH.
  cmd = nil, ---@type string|string[]|nil
  -- May the workspace's own tools be run? nil: in folders that `:Famulus trust` was said of. A function gets the root.
  trusted = nil, ---@type boolean|nil|fun(root: string|nil): boolean
  -- File types: true for all, or a list, or a map such as { markdown = false }.
  filetypes = true, ---@type boolean|table
  -- What makes a folder the root of a project.
  root_markers = { ".git", ".hg", "pyproject.toml", "package.json", "Cargo.toml", "go.mod", "Makefile" },
  -- Settings of the server (docs/editors.md has the table).
  settings = {},
  -- Who shows ghost text: "native" (Neovim 0.12), "own", or "auto": native where you have switched that on for all.
  inline = "auto",
  -- Milliseconds to wait after a key before asking ("own" only; the server has a delay of its own that adapts).
  delay = 0,
  -- Show ghost text while the completion menu is open.
  with_menu = false,
  -- Show what the model has written so far ("own" only).
  streaming = true,
  -- Where answers such as `:Famulus why` appear: "split", "vsplit", "float" or "tab".
  window = "split",
  -- Keys of insert mode; false switches one off, `keys = false` all.
  keys = {
    accept = "<Tab>",
    accept_word = "<M-Right>",
    accept_line = "<M-Down>",
    next = "<M-]>",
    previous = "<M-[>",
    invoke = "<M-Bslash>",
    dismiss = "<C-]>",
  },
}

local KINDS = {
  enabled = "boolean",
  cmd = { "string", "table", "nil" },
  trusted = { "boolean", "function" },
  filetypes = { "boolean", "table" },
  root_markers = "table",
  settings = "table",
  inline = "string",
  delay = "number",
  with_menu = "boolean",
  streaming = "boolean",
  window = "string",
  keys = { "boolean", "table" },
}
local CHOICES = {
  inline = { "auto", "own", "native" },
  window = { "split", "vsplit", "float", "tab" },
}

--- What is wrong with `options`, one sentence each.
---@param options table
---@return string[]
function M.problems(options)
  local found = {}
  for name, value in vim.spairs(options) do
    local kinds = KINDS[name]
    if not kinds then
      found[#found + 1] = ("There is no option `%s`; see :help famulus-options."):format(name)
    elseif not vim.list_contains(type(kinds) == "table" and kinds or { kinds }, type(value)) then
      found[#found + 1] = ("Option `%s` cannot be a %s; see :help famulus-options."):format(name, type(value))
    elseif CHOICES[name] and not vim.list_contains(CHOICES[name], value) then
      found[#found + 1] = ("Option `%s` must be one of %s."):format(name, table.concat(CHOICES[name], ", "))
    elseif name == "keys" and type(value) == "table" then
      for action in vim.spairs(value) do
        if M.defaults.keys[action] == nil then
          found[#found + 1] = ("There is no key `%s`; see :help famulus-keys."):format(action)
        end
      end
    end
  end
  return found
end

--- The defaults with what the user wrote on top; options that are wrong keep their default.
---@param options table|nil
---@return famulus.Options options, string[] problems
function M.merged(options)
  options = options or {}
  local problems = M.problems(options)
  local usable = {}
  for name, value in pairs(options) do
    if #M.problems({ [name] = value }) == 0 then
      usable[name] = value
    end
  end
  local merged = vim.tbl_deep_extend("force", M.defaults, usable)
  if merged.keys == true then
    merged.keys = vim.deepcopy(M.defaults.keys)
  end
  if type(usable.filetypes) == "table" then
    merged.filetypes = usable.filetypes
  end
  if usable.root_markers then
    merged.root_markers = usable.root_markers
  end
  return merged, problems
end

--- Is this file type wanted?
---@param options famulus.Options
---@param filetype string
---@return boolean
function M.wants(options, filetype)
  local wanted = options.filetypes
  if type(wanted) ~= "table" then
    return wanted
  end
  if vim.islist(wanted) and #wanted > 0 then
    return vim.list_contains(wanted, filetype)
  end
  return wanted[filetype] ~= false
end

return M
