--- `:Famulus {what}`: the server's commands and the plugin's own.
local M = {}

local api = vim.api
local client = require("famulus.client")
local document = require("famulus.document")

---@param text string
---@param level integer|nil
local function say(text, level)
  vim.notify("Famulus: " .. text, level or vim.log.levels.INFO)
end

---@return table
local function options()
  return require("famulus").options
end

--- The server of the current buffer; says why there is none.
---@param any boolean|nil a server of another buffer will do
---@return vim.lsp.Client|nil
local function server(any)
  local found = client.of() or (any and vim.lsp.get_clients({ name = "famulus" })[1]) or nil
  if not found then
    local reason = client.unwanted(options(), api.nvim_get_current_buf())
    say(
      ("no language server here%s; see :checkhealth famulus"):format(reason and " (" .. reason .. ")" or ""),
      vim.log.levels.WARN
    )
  end
  return found
end

--- Run a command of the server and show its document.
---@param command string
---@param arguments table
---@param found vim.lsp.Client|nil
---@param use fun(result: table)|nil what to do with a page instead of showing it
local function execute(command, arguments, found, use)
  found = found or server()
  if not found then
    return
  end
  found:request("workspace/executeCommand", { command = command, arguments = arguments }, function(err, result)
    if err then
      say(err.message or vim.inspect(err), vim.log.levels.WARN)
    elseif use and type(result) == "table" then
      use(result)
    elseif type(result) == "table" and type(result.text) == "string" then
      document.show(result.title or "Famulus", result.text, options().window)
    elseif type(result) == "string" and result ~= "" then
      say(result)
    end
  end, api.nvim_get_current_buf())
end

--- The document's address and the cursor.
---@param found vim.lsp.Client
---@return string, table
local function place(found)
  local params = vim.lsp.util.make_position_params(0, found.offset_encoding)
  return params.textDocument.uri, params.position
end

--- The lines of a command's range.
---@param found vim.lsp.Client
---@param call table as nvim_create_user_command() gives it
---@return table
local function lines(found, call)
  local last = api.nvim_buf_get_lines(0, call.line2 - 1, call.line2, false)[1] or ""
  return {
    start = { line = call.line1 - 1, character = 0 },
    ["end"] = {
      line = call.line2 - 1,
      character = vim.str_utfindex(last, found.offset_encoding),
    },
  }
end

---@param command string
local function at_cursor(command)
  return function()
    local found = server()
    if found then
      local uri, position = place(found)
      execute(command, { uri, position }, found)
    end
  end
end

local function fix()
  local found = server()
  if not found then
    return
  end
  local row = api.nvim_win_get_cursor(0)[1] - 1
  local here = vim.diagnostic.get(0, { lnum = row })
  local uri = place(found)
  local function one(diagnostic)
    if diagnostic then
      execute("famulus.fix", { uri, require("famulus.diagnostic").to_lsp(found, diagnostic) }, found)
    end
  end
  if #here == 0 then
    say("there is no diagnostic on this line.")
  elseif #here == 1 then
    one(here[1])
  else
    vim.ui.select(here, {
      prompt = "Fix which?",
      format_item = function(diagnostic)
        return diagnostic.message
      end,
    }, one)
  end
end

local function rewrite(call)
  local found = server()
  if not found then
    return
  end
  local uri, range = place(found), lines(found, call)
  local function go(instruction)
    if instruction and instruction ~= "" then
      execute("famulus.rewrite", { uri, range, instruction }, found)
    end
  end
  if call.rest ~= "" then
    go(call.rest)
  else
    vim.ui.input({ prompt = "Rewrite how? " }, go)
  end
end

--- Review the repository of the current file, or of the root.
local function review(call)
  local found = server(true)
  if not found then
    return
  end
  if call.rest ~= "" and call.rest ~= "staged" then
    say("`:Famulus review` takes nothing or `staged`.", vim.log.levels.WARN)
    return
  end
  local file = vim.bo.buftype == "" and api.nvim_buf_get_name(0) or ""
  local target = file ~= "" and file or found.root_dir
  execute(
    call.rest == "staged" and "famulus.review.staged" or "famulus.review",
    { target and vim.uri_from_fname(target) or nil },
    found
  )
end

--- Write tests for the function at the cursor, or for the file.
local function test(call)
  local found = server()
  if found then
    local uri, position = place(found)
    local file = call.rest == "file"
    execute(file and "famulus.testgen" or "famulus.testgen.here", { uri, not file and position or nil }, found)
  end
end

--- What code actions of the review call: the one asks for a reason first, the other fills a register.
function M.remedies()
  vim.lsp.commands["famulus.review.ignore"] = function(command, context)
    local found = vim.lsp.get_client_by_id(context.client_id)
    vim.ui.input({ prompt = "Why is it right as it is? " }, function(reason)
      if found and reason and reason ~= "" then
        local arguments = { command.arguments[1], command.arguments[2], reason }
        execute("famulus.review.ignore", arguments, found)
      end
    end)
  end
  vim.lsp.commands["famulus.review.witness"] = function(command, context)
    local found = vim.lsp.get_client_by_id(context.client_id)
    if found then
      execute("famulus.review.witness", command.arguments, found, function(result)
        vim.fn.setreg('"', result.text, "l")
        say("the witness is in the unnamed register, as a test: p puts it.")
      end)
    end
  end
  for _, name in ipairs({ "famulus.review.why", "famulus.testgen.why" }) do -- they answer with a page
    vim.lsp.commands[name] = function(command, context)
      execute(name, command.arguments, vim.lsp.get_client_by_id(context.client_id))
    end
  end
end

--- Restart the engine; a server that is not there is started.
local function restart()
  local found = vim.lsp.get_clients({ name = "famulus" })[1]
  if found then
    execute("famulus.restartEngine", {}, found)
  else
    client.again(options())
  end
end

--- Stop what the server still works on for the user.
local function cancel()
  local found = server()
  for token in pairs(found and found.progress.pending or {}) do
    found:notify("window/workDoneProgress/cancel", { token = token })
  end
end

--- Answer what is proposed.
---@param yes boolean
local function answer(yes)
  return function()
    require("famulus.proposals").answer(yes)
  end
end

--- Trust the root of the current buffer, or no longer.
---@param trusted boolean
local function trust(trusted)
  return function()
    local found = server()
    if not found then
      return
    elseif not found.root_dir then
      say("this file belongs to no project; option `root_markers` says what makes one.", vim.log.levels.WARN)
    else
      require("famulus.trust").set(found.root_dir, trusted)
      client.restart(found)
      say(("%s is %s."):format(vim.fn.fnamemodify(found.root_dir, ":~"), trusted and "trusted" or "not trusted"))
    end
  end
end

local function status()
  local state = client.state()
  if not state then
    server()
  else
    say(state.message ~= "" and state.message or (state.busy and "The model is at work." or "All is well."))
  end
end

M.list = {
  why = { run = at_cursor("famulus.whyNothing"), about = "why nothing is shown at the cursor" },
  prompt = { run = at_cursor("famulus.showPrompt"), about = "what the model is sent at the cursor" },
  explain = {
    run = function(call)
      local found = server()
      if found then
        execute("famulus.explain", { place(found), lines(found, call) }, found)
      end
    end,
    about = "explain the lines",
  },
  fix = { run = fix, about = "fix the diagnostic of this line" },
  docstring = { run = at_cursor("famulus.docstring"), about = "write a docstring or a doc comment" },
  rewrite = { run = rewrite, about = "rewrite the lines as you say" },
  apply = { run = answer(true), about = "apply the edit that is proposed" },
  discard = { run = answer(false), about = "discard it, also while it is written" },
  commit = {
    run = function()
      local found = server(true)
      if found then
        execute("famulus.commitMessage", { found.root_dir and vim.uri_from_fname(found.root_dir) or nil }, found)
      end
    end,
    about = "a commit message for what is staged",
  },
  review = { run = review, about = "what my changes break; `review staged`: what is staged" },
  red = { run = at_cursor("famulus.review.why"), about = "which change makes the test at the cursor fail" },
  test = { run = test, about = "write tests for the function at the cursor; `test file`: for the file" },
  strengthen = { run = at_cursor("famulus.testgen.strengthen"), about = "add to the test at the cursor what it lacks" },
  reason = { run = at_cursor("famulus.testgen.why"), about = "why the test at the cursor exists" },
  restart = { run = restart, about = "restart the engine" },
  cancel = { run = cancel, about = "stop what a command has started" },
  status = { run = status, about = "how the engine is" },
  trust = { run = trust(true), about = "let the project's own tools be run" },
  distrust = { run = trust(false), about = "no longer let them be run" },
  toggle = {
    run = function()
      require("famulus").toggle()
      say(vim.g.famulus_enabled and "ghost text is on." or "ghost text is off.")
    end,
    about = "switch ghost text on or off",
  },
}

--- Make `:Famulus` and `:FamulusReview`.
function M.create()
  M.remedies()
  api.nvim_create_user_command("FamulusReview", function(call)
    review({ rest = call.args })
  end, {
    nargs = "?",
    desc = "Famulus: what my changes break",
    complete = function()
      return { "staged" }
    end,
  })
  api.nvim_create_user_command("Famulus", function(call)
    local name, rest = call.args:match("^(%S+)%s*(.*)$")
    local entry = M.list[name]
    if entry then
      call.rest = rest
      entry.run(call)
    else
      local known = vim.tbl_keys(M.list)
      table.sort(known)
      say(("there is no `:Famulus %s`; there are %s."):format(name, table.concat(known, ", ")), vim.log.levels.WARN)
    end
  end, {
    nargs = "+",
    range = true,
    desc = "Famulus: commands of the language server",
    complete = function(lead, line)
      if line:match("Famulus%s+%S+%s+") then
        return {}
      end
      local names = vim.tbl_filter(function(name)
        return vim.startswith(name, lead)
      end, vim.tbl_keys(M.list))
      table.sort(names)
      return names
    end,
  })
end

return M
