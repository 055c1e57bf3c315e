/** Famulus in VS Code: starts `famulus lsp`, says how it is, and offers its commands. All else is the server's. */

import { commands, type ExtensionContext, window, workspace } from 'vscode';

import { OWNED, register } from './commands';
import { showMenu, toggleEverywhere, toggleLanguage } from './menu';
import { Pages } from './pages';
import { Server } from './server';
import { Status } from './status';

let server: Server | undefined;

export function activate(context: ExtensionContext): void {
  const output = window.createOutputChannel('Famulus', { log: true });
  const status = new Status();
  const pages = new Pages();
  const groups: { properties: object }[] = context.extension.packageJSON.contributes.configuration;
  const settings = groups.flatMap((group) => Object.keys(group.properties));
  const here = new Server(status, output, pages, OWNED, settings);
  server = here;
  context.subscriptions.push(
    output,
    status,
    pages,
    here,
    ...register(here, status, pages),
    commands.registerCommand('famulus.menu', () => showMenu(status)),
    commands.registerCommand('famulus.toggle', () => toggleLanguage()),
    commands.registerCommand('famulus.toggleEverywhere', () => toggleEverywhere()),
    commands.registerCommand('famulus.restartServer', () => here.restart()),
    commands.registerCommand('famulus.showOutput', () => output.show()),
    commands.registerCommand('famulus.install', () =>
      commands.executeCommand('workbench.action.openWalkthrough', `${context.extension.id}#start`),
    ),
    workspace.onDidGrantWorkspaceTrust(() => here.restart()),
    workspace.onDidChangeWorkspaceFolders(() => here.lookAgain()),
    workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('famulus.command') && here.lookAgain()),
  );
  void here.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
