--- What the server is told about its candidates. Nothing here may disturb typing: what fails is only logged.
local M = {}

local log = require("famulus.log")

--- Run a command of the server without an answer on the screen.
---@param client vim.lsp.Client
---@param command table lsp.Command
---@param bufnr integer
local function run(client, command, bufnr)
  client:request("workspace/executeCommand", {
    command = command.command,
    arguments = command.arguments,
  }, function(err)
    if err then
      log.note("the command %s failed: %s", command.command, err.message or vim.inspect(err))
    end
  end, bufnr)
end

--- A candidate has appeared on the screen.
---@param client vim.lsp.Client
---@param item table
function M.shown(client, item)
  client:notify("famulus/didShowCompletion", { item = item })
end

--- A step of a candidate was inserted.
---@param client vim.lsp.Client
---@param candidate famulus.Candidate
---@param bufnr integer
---@param whole boolean
---@param bytes integer accepted so far, from the start of the text
function M.accepted(client, candidate, bufnr, whole, bytes)
  if whole then
    if candidate.item.command then
      run(client, candidate.item.command, bufnr)
    end
    return
  end
  client:notify("famulus/didPartiallyAcceptCompletion", {
    item = candidate.item,
    acceptedLength = require("famulus.candidate").units(candidate, bytes),
  })
end

return M
