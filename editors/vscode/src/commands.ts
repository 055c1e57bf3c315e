/** The commands: each finds out what it is about, asks the server, and shows the answer. */

import {
  commands,
  type Disposable,
  env,
  languages,
  type SourceControl,
  type TextEditor,
  type Uri,
  window,
  workspace,
} from 'vscode';
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
  'famulus.review.why': atCursor,
  'famulus.testgen': file,
  'famulus.testgen.here': atCursor,
  'famulus.testgen.strengthen': atCursor,
  'famulus.testgen.why': atCursor,
};

/** The reviews of a repository: that of the view that was clicked in, of the open file, or of the first folder. */
const REVIEWS: readonly string[] = ['famulus.review', 'famulus.review.staged'];

/** Codes of requests that the user ended, or that ended with the server, of which the status bar tells. */
const ENDED: ReadonlySet<number> = new Set<number>([
  LSPErrorCodes.RequestCancelled,
  ErrorCodes.PendingResponseRejected,
  ErrorCodes.ConnectionInactive,
]);

/** The server's commands that we register. */
export const OWNED: ReadonlySet<string> = new Set([
  ...Object.keys(MEANT),
  ...REVIEWS,
  'famulus.review.ignore',
  'famulus.review.witness',
  'famulus.commitMessage',
  'famulus.restartEngine',
]);

export function register(server: Server, status: Status, pages: Pages): Disposable[] {
  const forward = new Forward(server, status, pages);
  return [
    ...Object.entries(MEANT).map(([name, ask]) =>
      commands.registerCommand(name, (...given: unknown[]) => forward.run(name, given, ask)),
    ),
    ...REVIEWS.map((name) =>
      commands.registerCommand(name, async (given?: unknown) => forward.page(name, reviewed(given))),
    ),
    commands.registerCommand('famulus.review.ignore', (...given: string[]) => ignore(forward, given)),
    commands.registerCommand('famulus.review.witness', (...given: string[]) => witness(forward, given)),
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
    await this.page(name, meant ?? []);
  }

  /** Sends a command and shows the page that it answers with. */
  async page(name: string, parameters: unknown[]): Promise<void> {
    const answer = await this.send(name, parameters);
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

function reviewed(given: unknown): unknown[] {
  const clicked = typeof given === 'string' ? given : (given as Partial<SourceControl> | undefined)?.rootUri?.toString();
  const open = window.activeTextEditor?.document.uri;
  const here: Uri | undefined = open && workspace.getWorkspaceFolder(open) ? open : undefined;
  const place = clicked ?? (here ?? workspace.workspaceFolders?.[0]?.uri)?.toString();
  return place ? [place] : [];
}

async function ignore(forward: Forward, given: string[]): Promise<void> {
  const reason = await window.showInputBox({
    title: 'Ignore a Finding',
    prompt: 'Why is it right as it is? A comment with the reason is written above the line.',
    placeHolder: 'the old shop is still called like this',
  });
  if (reason?.trim()) {
    await forward.send('famulus.review.ignore', [...given.slice(0, 2), reason.trim()]);
  }
}

async function witness(forward: Forward, given: string[]): Promise<void> {
  const answer = await forward.send('famulus.review.witness', given);
  if (isPage(answer)) {
    await env.clipboard.writeText(answer.text);
    void window.showInformationMessage('The witness is in the clipboard, as a test.');
  }
}

function file(client: LanguageClient, editor: TextEditor): Arguments {
  return [client.code2ProtocolConverter.asUri(editor.document.uri)];
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
