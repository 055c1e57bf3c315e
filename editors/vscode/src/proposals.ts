/** Edits that the server proposes: shown as a diff, applied when the user says so. */

import {
  CancellationTokenSource,
  commands,
  type Disposable,
  type Tab,
  TabInputTextDiff,
  type TextDocument,
  type Uri,
  window,
  workspace,
} from 'vscode';
import type {
  ApplyWorkspaceEditParams,
  ApplyWorkspaceEditRequest,
  ChangeAnnotation,
  LanguageClient,
  TextDocumentEdit,
  TextEdit,
  WorkspaceEdit,
  WorkspaceMiddleware,
} from 'vscode-languageclient/node';

import type { Pages } from './pages';

/** What the paths of proposed texts begin with; package.json knows it, too. */
const PROPOSALS = '/proposal/';
const APPLY = 'Apply';
const DISCARD = 'Discard';

type Middleware = NonNullable<WorkspaceMiddleware['handleApplyEdit']>;

/**
 * VS Code's own preview of edits that need confirmation starts with all of them unchecked, so that "Apply" does
 * nothing: we ask ourselves, and hand over an edit that needs no confirmation any more.
 */
export function askFirst(client: () => LanguageClient | undefined, pages: Pages): Middleware {
  let turn: Promise<unknown> = Promise.resolve();
  return (params, next) => {
    const result = turn.then(() => ask(params, next)); // One question at a time.
    turn = result.catch(() => undefined);
    return result;
  };

  async function ask(params: ApplyWorkspaceEditParams, next: ApplyWorkspaceEditRequest.HandlerSignature) {
    const { token } = new CancellationTokenSource();
    const proposal = proposed(params);
    const converter = client()?.protocol2CodeConverter;
    if (!proposal || !converter) {
      return next(params, token);
    }
    const document = await workspace.openTextDocument(converter.asUri(proposal.edit.textDocument.uri));
    const name = document.uri.path.split('/').pop();
    const right = pages.keep(`${PROPOSALS}${name}`, edited(document, proposal, converter));
    await commands.executeCommand('vscode.diff', document.uri, right, proposal.annotation.label, { preview: true });
    const yes = await agreed(proposal.annotation, right);
    await closeDiff(right);
    if (!yes) {
      return { applied: false, failureReason: 'The user discarded the edit.' };
    }
    const result = await next({ ...params, edit: confirmed(params.edit) }, token);
    if ('applied' in result && !result.applied) {
      void window.showWarningMessage('Nothing was applied: the text has changed meanwhile.');
    }
    return result;
  }
}

interface Proposal {
  edit: TextDocumentEdit;
  annotation: ChangeAnnotation;
}

/** The one edit of one document that needs confirmation, if that is all there is. */
function proposed({ edit }: ApplyWorkspaceEditParams): Proposal | undefined {
  const [annotation, ...others] = Object.values(edit.changeAnnotations ?? {});
  const [change, ...more] = edit.documentChanges ?? [];
  if (!annotation?.needsConfirmation || others.length || more.length || !change || !('edits' in change)) {
    return undefined;
  }
  return { edit: change, annotation };
}

function edited(document: TextDocument, { edit }: Proposal, converter: LanguageClient['protocol2CodeConverter']): string {
  const places = (edit.edits as TextEdit[]).map(({ range, newText }) => {
    const found = converter.asRange(range);
    return { start: document.offsetAt(found.start), end: document.offsetAt(found.end), newText };
  });
  return places
    .sort((one, other) => other.start - one.start)
    .reduce((text, { start, end, newText }) => text.slice(0, start) + newText + text.slice(end), document.getText());
}

function confirmed(edit: WorkspaceEdit): WorkspaceEdit {
  const annotations = Object.entries(edit.changeAnnotations ?? {});
  const changed = annotations.map(([id, annotation]) => [id, { ...annotation, needsConfirmation: false }]);
  return { ...edit, changeAnnotations: Object.fromEntries(changed) };
}

/** The user says yes or no in a message, with the buttons of the diff's title, or no by closing the diff. */
async function agreed({ label, description }: ChangeAnnotation, right: Uri): Promise<boolean> {
  const text = description ? `${label} (${description})` : label;
  const waiting: Disposable[] = [];
  const answer = await new Promise<boolean>((resolve) => {
    waiting.push(
      commands.registerCommand('famulus.applyProposal', () => resolve(true)),
      commands.registerCommand('famulus.discardProposal', () => resolve(false)),
      window.tabGroups.onDidChangeTabs(({ closed }) => closed.some((tab) => shows(tab, right)) && resolve(false)),
    );
    void window.showInformationMessage(text, APPLY, DISCARD).then((button) => button && resolve(button === APPLY));
  });
  waiting.forEach((one) => one.dispose());
  return answer;
}

function shows({ input }: Tab, right: Uri): boolean {
  return input instanceof TabInputTextDiff && input.modified.toString() === right.toString();
}

async function closeDiff(right: Uri): Promise<void> {
  const tabs = window.tabGroups.all.flatMap((group) => group.tabs);
  await window.tabGroups.close(tabs.filter((tab) => shows(tab, right)));
}
