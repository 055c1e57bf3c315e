/** The commands: each finds out what it is about, asks the server, and shows the answer. */

import { commands, type Disposable, languages, type SourceControl, type TextEditor, window } from 'vscode';
import {
  ErrorCodes,
  ExecuteCommandRequest,
  type LanguageClient,
  LSPErrorCodes,
  ResponseError,
} from 'vscode-languageclient/node';

import { propose, repository } from './git';
import type { Pages } from './pages';
import type { Server } from './server';
import type { Status } from './status';

type Arguments = unknown[] | undefined;
type Ask = (client: LanguageClient, editor: TextEditor) => Promise<Arguments> | Arguments;

/** What the user means who calls a command without arguments; undefined: nothing, and they know why. */
const MEANT: Record<string, Ask> = {
  'famulus.whyNothing': atCursor,
  'famulus.showPrompt': atCursor,
  'famulus.docstring': atCursor,
  'famulus.explain': selection,
  'famulus.fix': problem,
  'famulus.rewrite': rewrite,
};

/** Codes of requests that the user ended, or that ended with the server, of which the status bar tells. */
const ENDED: ReadonlySet<number> = new Set<number>([
  LSPErrorCodes.RequestCancelled,
  ErrorCodes.PendingResponseRejected,
  ErrorCodes.ConnectionInactive,
]);

/** The server's commands that we register. */
export const OWNED: ReadonlySet<string> = new Set([
  ...Object.keys(MEANT),
  'famulus.commitMessage',
  'famulus.restartEngine',
]);

export function register(server: Server, status: Status, pages: Pages): Disposable[] {
  const forward = new Forward(server, status, pages);
  return [
    ...Object.entries(MEANT).map(([name, ask]) =>
      commands.registerCommand(name, (...given: unknown[]) => forward.run(name, given, ask)),
    ),
    commands.registerCommand('famulus.restartEngine', () => forward.send('famulus.restartEngine', [])),
    commands.registerCommand('famulus.commitMessage', (view?: SourceControl) => commitMessage(forward, view)),
  ];
}

class Forward {
  constructor(
    private readonly server: Server,
    private readonly status: Status,
    private readonly pages: Pages,
  ) {}

  /** Sends a command with the arguments of a code action, or, called by hand, with what `ask` finds out. */
  async run(name: string, given: unknown[], ask: Ask): Promise<void> {
    const client = this.server.running;
    const editor = window.activeTextEditor;
    // A menu passes the resource that was clicked on, and a code action what the server wrote: a string first.
    let meant: Arguments = typeof given[0] === 'string' ? given : undefined;
    if (!meant && client) {
      if (!editor) {
        void window.showInformationMessage('Open a file first: this is about the place of the cursor.');
        return;
      }
      meant = await ask(client, editor);
      if (!meant) {
        return;
      }
    }
    const answer = await this.send(name, meant ?? []);
    if (isPage(answer)) {
      await this.pages.show(answer.title, answer.text);
    }
  }

  /** The server's answer; undefined if it failed, which the user was told. */
  async send(command: string, parameters: unknown[]): Promise<unknown> {
    const client = this.server.running;
    if (!client) {
      const { message, command: remedy } = this.status.latest;
      const button = remedy ? [remedy.title] : [];
      if (remedy && (await window.showWarningMessage(message, ...button)) === remedy.title) {
        await commands.executeCommand(remedy.command, ...(remedy.arguments ?? []));
      }
      return undefined;
    }
    try {
      return await client.sendRequest(ExecuteCommandRequest.type, { command, arguments: parameters as never[] });
    } catch (error) {
      if (!(error instanceof ResponseError && ENDED.has(error.code))) {
        void window.showErrorMessage(`Famulus: ${(error as Error).message}`);
      }
      return undefined;
    }
  }
}

async function commitMessage(forward: Forward, view: SourceControl | undefined): Promise<void> {
  const target = await repository(view);
  if (!target) {
    void window.showInformationMessage('There is no Git repository in this window.');
    return;
  }
  const answer = await forward.send('famulus.commitMessage', [target.rootUri.toString()]);
  if (isPage(answer)) {
    await propose(target, answer.text);
    await commands.executeCommand('workbench.view.scm');
  }
}

function atCursor(client: LanguageClient, editor: TextEditor): Arguments {
  const { asUri, asPosition } = client.code2ProtocolConverter;
  return [asUri(editor.document.uri), asPosition(editor.selection.active)];
}

function selection(client: LanguageClient, editor: TextEditor): Arguments {
  const { asUri, asRange } = client.code2ProtocolConverter;
  return [asUri(editor.document.uri), asRange(editor.selection)];
}

async function problem(client: LanguageClient, editor: TextEditor): Promise<Arguments> {
  const { asUri, asDiagnostic } = client.code2ProtocolConverter;
  const here = languages
    .getDiagnostics(editor.document.uri)
    .filter((found) => found.range.intersection(editor.selection))
    .sort((one, other) => one.severity - other.severity);
  if (!here[0]) {
    void window.showInformationMessage('There is no problem at the cursor.');
    return undefined;
  }
  return [asUri(editor.document.uri), asDiagnostic(here[0])];
}

async function rewrite(client: LanguageClient, editor: TextEditor): Promise<Arguments> {
  const instruction = await window.showInputBox({
    title: 'Rewrite Selection',
    prompt: editor.selection.isEmpty ? 'What should become of this line?' : 'What should become of the selection?',
    placeHolder: 'handle an empty list',
  });
  return instruction?.trim() ? [...(selection(client, editor) ?? []), instruction.trim()] : undefined;
}

function isPage(answer: unknown): answer is { title: string; text: string } {
  const page = answer as { title?: unknown; text?: unknown } | null | undefined;
  return typeof page?.title === 'string' && typeof page.text === 'string';
}
