--- `:checkhealth famulus`: is all there, and what to do about what is not.
local M = {}

local health = vim.health
local client = require("famulus.client")
local native = require("famulus.native")

--- Neovim itself.
local function editor()
  health.start("Neovim")
  local version = tostring(vim.version())
  if vim.fn.has("nvim-0.11") == 0 then
    health.error(("Neovim %s is too old"):format(version), "Install Neovim 0.11 or newer.")
    return
  end
  health.ok(("Neovim %s"):format(version))
  local options = require("famulus").options
  if options and options.inline == "native" and not native.available() then
    health.warn(
      "option `inline` is \"native\", but this Neovim has no inline completion of its own",
      "Ghost text is shown by Famulus's own code; Neovim 0.12 has the other."
    )
  elseif options then
    local by = client.view(options) == native and "by Neovim itself" or "by Famulus's own code"
    health.ok(("ghost text is shown %s"):format(by))
  end
end

--- The command that is started.
---@param options famulus.Options
local function command(options)
  health.start("Command")
  local line, problem = client.command(options)
  if not line then
    health.error(problem)
    return
  end
  health.ok(table.concat(line, " "))
  local ok, done = pcall(function()
    return vim.system({ line[1], "--version" }, { text = true }):wait(10000)
  end)
  if ok and done.code == 0 then
    health.ok(vim.trim(done.stdout))
  else
    health.warn(
      ("`%s --version` failed"):format(line[1]),
      ("Run `%s doctor` in a terminal."):format(line[1])
    )
  end
end

--- The servers that run, the engine behind them, and the buffer one came from.
---@param options famulus.Options
local function servers(options)
  health.start("Language server")
  local clients = vim.lsp.get_clients({ name = "famulus" })
  for _, found in ipairs(clients) do
    local buffers = vim.tbl_count(found.attached_buffers)
    local where = found.root_dir or "no root"
    if found.initialized then
      local trusted = found.config.init_options.famulus.trusted and "trusted" or "not trusted"
      health.ok(("attached to %d buffer(s), root: %s (%s)"):format(buffers, where, trusted))
    else
      health.info(("starting, root: %s"):format(where))
    end
    local bufnr = next(found.attached_buffers)
    local state = bufnr and client.state(bufnr)
    if state and (state.kind == "Error" or state.kind == "Warning") then
      health.warn(
        ("engine: %s"):format(state.message),
        { ":Famulus restart", "Run `famulus doctor` in a terminal." }
      )
    elseif state and state.message ~= "" then
      health.ok(("engine: %s"):format(state.message))
    end
  end
  if #clients == 0 then
    local bufnr = vim.fn.bufnr("#")
    bufnr = bufnr ~= -1 and bufnr or vim.api.nvim_get_current_buf()
    local reason = client.unwanted(options, bufnr)
    health.info("no language server runs: " .. (reason or "open a file, or :Famulus restart"))
  end
  if vim.g.famulus_enabled == false then
    health.info("ghost text is switched off: `:Famulus toggle` switches it on")
  end
  local last = require("famulus.log").last
  if last then
    health.info("the last error was " .. last .. "\nMore is in " .. vim.lsp.log.get_filename())
  end
end

--- Keys that somebody else has taken in a buffer since.
---@param options famulus.Options
local function keys(options)
  health.start("Keys of insert mode")
  if options.keys == false then
    health.info("switched off by option `keys`")
    return
  end
  for action, lhs in vim.spairs(options.keys) do
    if lhs then
      health.info(("%s: %s"):format(action, lhs))
    end
  end
end

function M.check()
  editor()
  local options = require("famulus").options
  if not options then
    health.start("Set-up")
    health.error("require('famulus').setup() was not called", "Call it in your init.lua; see :help famulus-setup.")
    return
  end
  local _, problems = require("famulus.config").merged(require("famulus").given)
  for _, problem in ipairs(problems) do
    health.warn(problem)
  end
  command(options)
  servers(options)
  keys(options)
end

return M
