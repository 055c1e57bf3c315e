--- Starts the language server, one per root, and attaches buffers to it.
local M = {}

local api = vim.api
local config = require("famulus.config")
local log = require("famulus.log")
local native = require("famulus.native")
local own = require("famulus.own")
local proposals = require("famulus.proposals")

M.install = "run `make tour` in a checkout of Famulus, then put its .venv/bin on the PATH or into the option `cmd`"

---@type table<integer, table> what each server last said of itself
local states = {}
---@type table<integer, boolean> servers that were stopped to be started again
local restarting = {}
---@type integer[] when servers ended by themselves, in seconds
local ends = {}

local RESTARTS, WITHIN_SECONDS = 3, 180

--- Neovim's file types that the protocol calls otherwise.
local LANGUAGES = {
  sh = "shellscript",
  bash = "shellscript",
  zsh = "shellscript",
  cs = "csharp",
  text = "plaintext",
  tex = "latex",
  plaintex = "latex",
  make = "makefile",
  objc = "objective-c",
  objcpp = "objective-cpp",
  rst = "restructuredtext",
  gitcommit = "git-commit",
  gitrebase = "git-rebase",
  ["javascript.jsx"] = "javascriptreact",
  ["typescript.tsx"] = "typescriptreact",
}

--- The command line of the server, or nil and why not.
---@param options famulus.Options
---@return string[]|nil, string|nil
function M.command(options)
  local wanted = options.cmd
  local command = type(wanted) == "table" and vim.deepcopy(wanted) or { wanted or "famulus" }
  command[1] = vim.fs.normalize(command[1])
  local found = vim.fn.exepath(command[1])
  if found == "" then
    return nil, ("there is no command `%s`: %s."):format(command[1], M.install)
  end
  command[1] = found
  if type(wanted) ~= "table" or #wanted == 1 then
    vim.list_extend(command, { "lsp", "--stdio" })
  end
  return command
end

---@type table<famulus.Options, table> what was chosen once for some options
local views = setmetatable({}, { __mode = "k" })

--- The module that shows ghost text. Neovim's own is taken where the user has switched it on for all servers, as two of
--- them would draw over each other; else ours, which does not wait 200 ms after each key.
---@param options famulus.Options
---@return table
function M.view(options)
  if not views[options] then
    local wanted = options.inline == "native" or (options.inline == "auto" and native.enabled())
    views[options] = wanted and native.available() and native or own
  end
  return views[options]
end

--- The server of a buffer, which may be on its way.
---@param bufnr integer|nil
---@return vim.lsp.Client|nil
function M.of(bufnr)
  for _, client in ipairs(vim.lsp.get_clients({ name = "famulus", bufnr = bufnr or api.nvim_get_current_buf() })) do
    if not client:is_stopped() then
      return client
    end
  end
  return nil
end

--- What the buffer's server last said of itself: kind, busy, message.
---@param bufnr integer|nil
---@return table|nil
function M.state(bufnr)
  local client = M.of(bufnr)
  return client and (states[client.id] or { kind = "Normal", busy = true, message = "" })
end

--- Why no server works for this buffer, or nil if one should.
---@param options famulus.Options
---@param bufnr integer
---@return string|nil
function M.unwanted(options, bufnr)
  if vim.bo[bufnr].buftype ~= "" then
    return "this is not a buffer of a file"
  elseif api.nvim_buf_get_name(bufnr) == "" then
    return "the buffer has no name yet: save it"
  elseif api.nvim_buf_get_name(bufnr):find("^%w[%w+.-]+://") then
    return "the buffer's name is an address, not a file"
  elseif not config.wants(options, vim.bo[bufnr].filetype) then
    return ("option `filetypes` leaves out %q"):format(vim.bo[bufnr].filetype)
  elseif vim.b[bufnr].famulus_enabled == false then
    return "b:famulus_enabled is false"
  end
  return nil
end

---@param options famulus.Options
---@param root string|nil
---@return vim.lsp.ClientConfig
local function configuration(options, command, root)
  local view = M.view(options)
  local start = function(dispatchers, settings)
    local rpc = vim.lsp.rpc.start(command, dispatchers, { cwd = settings and settings.cmd_cwd })
    return view == native and native.transport(rpc) or rpc
  end
  return {
    name = "famulus",
    cmd = start,
    root_dir = root,
    capabilities = { textDocument = { inlineCompletion = { dynamicRegistration = false } } },
    init_options = {
      famulus = {
        trusted = require("famulus.trust").is(options, root),
        partialCompletions = view == own and options.streaming,
        status = true,
        documents = true,
        proposals = true,
      },
      settings = vim.empty_dict(),
    },
    settings = { famulus = options.settings },
    get_language_id = function(_, filetype)
      return LANGUAGES[filetype] or filetype
    end,
    handlers = {
      ["famulus/status"] = log.guarded(function(_, params, context)
        local before = states[context.client_id]
        states[context.client_id] = params
        api.nvim_exec_autocmds("User", { pattern = "FamulusStatus", modeline = false, data = params })
        vim.cmd.redrawstatus({ bang = true })
        if params.kind == "Error" or params.kind == "Warning" then
          log.tell(params.message)
        elseif before and before.message ~= "" and params.message == "" then
          view.ready()
        end
      end),
      ["famulus/partialCompletion"] = log.guarded(function(_, params, context)
        local client = vim.lsp.get_client_by_id(context.client_id)
        if client then
          view.partial(client, params)
        end
      end),
      ["famulus/proposal"] = log.guarded(function(_, params, context)
        local client = vim.lsp.get_client_by_id(context.client_id)
        if client then
          proposals.told(params, client)
        end
      end),
      ["workspace/applyEdit"] = function(_, params, context)
        return proposals.apply(params, assert(vim.lsp.get_client_by_id(context.client_id)))
      end,
    },
    on_init = function(client)
      if view == own then
        client.server_capabilities.inlineCompletionProvider = nil -- or Neovim might draw it as well
      end
      states[client.id] = states[client.id] or { kind = "Normal", busy = true, message = "" }
    end,
    on_attach = log.guarded(function(client, bufnr)
      view.attach(client, bufnr, options)
      require("famulus.cursor").attach(client, bufnr)
      require("famulus.keys").attach(bufnr, options)
    end),
    on_exit = vim.schedule_wrap(function(code, signal, id)
      local begun = states[id] ~= nil
      states[id] = nil
      proposals.forget(id)
      if restarting[id] then
        restarting[id] = nil
        M.attach_all(options)
      elseif vim.v.exiting == vim.NIL and not (begun and code == 0 and signal == 0) then
        M.ended(options, code, signal)
      end
    end),
  }
end

--- Attach a buffer to the server of its root, which is started if it does not run.
---@param options famulus.Options
---@param bufnr integer
function M.attach(options, bufnr)
  if M.unwanted(options, bufnr) or M.of(bufnr) then
    return
  end
  local command, problem = M.command(options)
  if not command then
    log.tell(problem)
    return
  end
  local root = vim.fs.root(bufnr, options.root_markers)
  local made = configuration(options, command, root)
  made.init_options.settings = vim.tbl_isempty(options.settings) and vim.empty_dict() or options.settings
  vim.lsp.start(made, { bufnr = bufnr })
end

--- All open buffers that want a server get one.
---@param options famulus.Options
function M.attach_all(options)
  for _, bufnr in ipairs(api.nvim_list_bufs()) do
    if api.nvim_buf_is_loaded(bufnr) and vim.bo[bufnr].buflisted then
      M.attach(options, bufnr)
    end
  end
end

--- A server has ended that nobody stopped: it is started again, a few times.
---@param options famulus.Options
---@param code integer
---@param signal integer
function M.ended(options, code, signal)
  log.note("the language server ended with status %d, signal %d", code, signal)
  local now = os.time()
  ends[#ends + 1] = now
  while ends[1] and now - ends[1] > WITHIN_SECONDS do
    table.remove(ends, 1)
  end
  if #ends > RESTARTS then
    log.tell("the language server keeps ending; :checkhealth famulus says more, :Famulus restart starts it again.")
    return
  end
  vim.defer_fn(log.guarded(function()
    M.attach_all(options)
  end), 500 * #ends)
end

--- Stop a server; the buffers get a new one.
---@param client vim.lsp.Client
function M.restart(client)
  restarting[client.id] = true
  client:stop()
end

--- Start servers for all buffers again, after the user has asked for it.
---@param options famulus.Options
function M.again(options)
  ends = {}
  log.reset()
  M.attach_all(options)
end

return M
