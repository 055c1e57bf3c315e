/** Where the `famulus` command is. What a workspace brings is looked at only when the user trusts it. */

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { extensions, workspace } from 'vscode';

const WINDOWS = process.platform === 'win32';
const NAME = WINDOWS ? 'famulus.exe' : 'famulus';
const SCRIPTS = WINDOWS ? 'Scripts' : 'bin';

/** What pipx and uv use, and Homebrew: an editor that was started from the desktop often has them not on its PATH. */
const USUAL = WINDOWS
  ? [path.join(homedir(), '.local', 'bin')]
  : [path.join(homedir(), '.local', 'bin'), '/opt/homebrew/bin', '/usr/local/bin'];

export type Found = { command: string; from: string } | { missing: string };

/** Finds the command: the setting, else a trusted workspace's environment, else the PATH, else the usual folders. */
export async function find(): Promise<Found> {
  const chosen = workspace.getConfiguration('famulus').get<string>('command', '').trim();
  if (chosen) {
    return fromSetting(chosen);
  }
  const inWorkspace = workspace.isTrusted ? [...environments(), await selected(false)] : [];
  for (const [folders, from] of [
    [inWorkspace, 'the environment of the workspace'],
    [onPath(), 'the PATH'],
    [USUAL, 'the usual folders'],
    [[workspace.isTrusted ? await selected(true) : undefined], 'the selected Python environment'],
  ] as const) {
    for (const folder of folders) {
      const command = folder && path.join(folder, NAME);
      if (command && (await runs(command))) {
        return { command, from };
      }
    }
  }
  return { missing: 'The famulus command was not found on this machine.' };
}

async function fromSetting(chosen: string): Promise<Found> {
  const command = chosen.replace(/^~(?=[\\/])/, homedir());
  if (!path.isAbsolute(command)) {
    return { missing: `The setting famulus.command must be a full path, and "${chosen}" is none.` };
  }
  if (!(await runs(command))) {
    return { missing: `The setting famulus.command names ${command}, which is no program that can be run.` };
  }
  return { command, from: 'the setting famulus.command' };
}

function environments(): string[] {
  const folders = (workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === 'file');
  return folders.flatMap((folder) => ['.venv', 'venv'].map((name) => path.join(folder.uri.fsPath, name, SCRIPTS)));
}

/** A relative entry of the PATH would let the workspace choose the program. */
function onPath(): string[] {
  return (process.env['PATH'] ?? '').split(path.delimiter).filter((entry) => path.isAbsolute(entry));
}

interface PythonApi {
  environments: { getActiveEnvironmentPath(): { path: string } };
}

/** The folder of the interpreter that is selected in the Python extension, which is woken only if `wake` says so. */
async function selected(wake: boolean): Promise<string | undefined> {
  const python = extensions.getExtension<PythonApi>('ms-python.python');
  if (!python || !(python.isActive || wake)) {
    return undefined;
  }
  try {
    const api = python.isActive ? python.exports : await python.activate();
    const interpreter = api.environments.getActiveEnvironmentPath().path;
    return path.isAbsolute(interpreter) ? path.dirname(interpreter) : undefined;
  } catch {
    return undefined; // Another extension's failure is its own to report.
  }
}

async function runs(command: string): Promise<boolean> {
  return access(command, constants.X_OK).then(
    () => true,
    () => false,
  );
}
