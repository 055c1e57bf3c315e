/** The menu behind the status bar item, and the settings that it turns. */

import { commands, ConfigurationTarget, type QuickPickItem, window, workspace } from 'vscode';

import type { Status } from './status';

interface Entry extends QuickPickItem {
  run: () => Thenable<unknown>;
}

export async function showMenu(status: Status): Promise<void> {
  const { message, command } = status.latest;
  const language = window.activeTextEditor?.document.languageId;
  const entries: Entry[] = [];
  if (command) {
    entries.push({ label: command.title, run: () => run(command.command, ...(command.arguments ?? [])) });
  }
  if (language) {
    const state = isOn(language) ? 'Turn off' : 'Turn on';
    entries.push(
      { label: 'Why is nothing shown?', run: () => run('famulus.whyNothing') },
      { label: 'Show the prompt', run: () => run('famulus.showPrompt') },
      { label: `${state} for ${language}`, run: () => toggleLanguage() },
    );
  }
  if (workspace.workspaceFolders?.length) {
    entries.push({ label: 'Review my changes', run: () => run('famulus.review') });
  }
  entries.push(
    { label: enabled() ? 'Turn off everywhere' : 'Turn on', run: () => toggleEverywhere() },
    { label: 'Restart the engine', run: () => run('famulus.restartEngine') },
    { label: 'Restart the language server', run: () => run('famulus.restartServer') },
    { label: 'Show the output', run: () => run('famulus.showOutput') },
    { label: 'Settings', run: () => run('workbench.action.openSettings', '@ext:famulus.famulus') },
  );
  const chosen = await window.showQuickPick(entries, { title: 'Famulus', placeHolder: message || 'Ready.' });
  await chosen?.run();
}

export async function toggleLanguage(): Promise<void> {
  const document = window.activeTextEditor?.document;
  if (document) {
    const languages = settings().get<Record<string, boolean>>('languages', {});
    await set('languages', { ...languages, [document.languageId]: !isOn(document.languageId) });
  }
}

export async function toggleEverywhere(): Promise<void> {
  await set('enabled', !enabled());
}

function settings() {
  return workspace.getConfiguration('famulus.completion', window.activeTextEditor?.document.uri);
}

function enabled(): boolean {
  return settings().get<boolean>('enabled', true);
}

function isOn(language: string): boolean {
  return settings().get<Record<string, boolean>>('languages', {})[language] !== false;
}

/** Where a value is set already, it is changed there: elsewhere it would have no effect. */
async function set(key: string, value: unknown): Promise<void> {
  const found = settings().inspect(key);
  const target =
    found?.workspaceFolderValue !== undefined
      ? ConfigurationTarget.WorkspaceFolder
      : found?.workspaceValue !== undefined
        ? ConfigurationTarget.Workspace
        : ConfigurationTarget.Global;
  await settings().update(key, value, target);
}

function run(command: string, ...parameters: unknown[]): Thenable<unknown> {
  return commands.executeCommand(command, ...parameters);
}
