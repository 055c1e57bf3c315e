--- The keys of insert mode. A key does its own only where there is something to do; else it does what it did before.
local M = {}

local api = vim.api

local ACTIONS = {
  accept = { call = "accept('all')", about = "Accept ghost text" },
  accept_word = { call = "accept('word')", about = "Accept the next word of ghost text" },
  accept_line = { call = "accept('line')", about = "Accept the next line of ghost text" },
  next = { call = "cycle(1)", about = "Next candidate" },
  previous = { call = "cycle(-1)", about = "Previous candidate" },
  invoke = { call = "invoke()", about = "Ask for candidates", always = true },
  dismiss = { call = "dismiss()", about = "Hide ghost text" },
}

local PLUG = "<Plug>(famulus-before-%s)"

---@param lhs string
---@return string
local function raw(lhs)
  return api.nvim_replace_termcodes(lhs, true, true, true)
end

--- What the key did in this buffer before we came, or does in all.
---@param lhs string
---@param before table|nil the mapping of the buffer that ours replaced
---@return table|nil as maparg() gives it
local function previous(lhs, before)
  if before then
    return before
  end
  for _, mapping in ipairs(api.nvim_get_keymap("i")) do
    if mapping.lhsraw == raw(lhs) or mapping.lhsrawalt == raw(lhs) then
      return mapping
    end
  end
  return nil
end

--- Keys that do what `lhs` would do without us: a mapping of another name, made anew as the other may have changed.
---@param action string
---@param lhs string
---@param before table|nil
---@return string
local function fallback(action, lhs, before)
  local plug = PLUG:format(action)
  local mapping = previous(lhs, before)
  if not mapping then
    api.nvim_set_keymap("i", plug, lhs, { noremap = true })
    return plug
  end
  local copy = vim.deepcopy(mapping)
  copy.lhs, copy.lhsraw, copy.lhsrawalt, copy.buffer = plug, nil, nil, 0
  copy.lhsraw = raw(plug)
  vim.fn.mapset("i", false, copy)
  return plug
end

--- Map the keys in a buffer.
---@param bufnr integer
---@param options famulus.Options
function M.attach(bufnr, options)
  if options.keys == false then
    return
  end
  for action, lhs in pairs(options.keys) do
    if lhs and lhs ~= "" then
      M.map(bufnr, action, lhs)
    end
  end
end

---@param bufnr integer
---@param action string
---@param lhs string
function M.map(bufnr, action, lhs)
  local what = ACTIONS[action]
  local before
  for _, mapping in ipairs(api.nvim_buf_get_keymap(bufnr, "i")) do
    if mapping.lhsraw == raw(lhs) or mapping.lhsrawalt == raw(lhs) then
      if (mapping.desc or ""):find("^Famulus: ") then
        return
      end
      before = mapping
    end
  end
  vim.keymap.set("i", lhs, function()
    if what.always or require("famulus").visible() then
      return ("<Cmd>lua require('famulus').%s<CR>"):format(what.call)
    end
    return fallback(action, lhs, before)
  end, { buffer = bufnr, expr = true, remap = true, desc = "Famulus: " .. what.about })
end

return M
