/** Edits that the server proposes: shown as a diff that grows while they are written, applied when the user says so. */

import {
  CancellationTokenSource,
  commands,
  Disposable,
  type Tab,
  TabInputTextDiff,
  type TextDocument,
  Uri,
  window,
  workspace,
} from 'vscode';
import {
  type ApplyWorkspaceEditParams,
  type ApplyWorkspaceEditRequest,
  type ApplyWorkspaceEditResult,
  type ChangeAnnotation,
  CreateFile,
  type LanguageClient,
  type TextDocumentEdit,
  type TextEdit,
  type WorkspaceEdit,
  type WorkspaceMiddleware,
} from 'vscode-languageclient/node';

import type { Pages } from './pages';

/** What the paths of proposed texts begin with; package.json knows it, too. */
const PROPOSALS = '/proposal/';
/** The proposed texts that can be applied; package.json knows it, too. */
const FINAL = 'famulus.finalProposals';
const APPLY = 'Apply';
const DISCARD = 'Discard';
/** Without a reason: the user knows why. */
const DISCARDED: ApplyWorkspaceEditResult = { applied: false };

/** What the server tells of a proposal while it is written. */
export interface Told {
  id: string;
  state: 'growing' | 'final' | 'withdrawn';
  edit?: WorkspaceEdit;
}

/**
 * VS Code's own preview of edits that need confirmation starts with all of them unchecked, so that "Apply" does
 * nothing: we ask ourselves, and hand over an edit that needs no confirmation any more.
 */
export class Proposals implements Disposable {
  private readonly open = new Map<string, Shown>();
  /** Those that the user discarded while they were written: what is still told of them is not shown. */
  private readonly unwanted = new Set<string>();
  private readonly registrations = Disposable.from(
    commands.registerCommand('famulus.applyProposal', (uri?: Uri) => this.at(uri ?? inFront())?.answer('apply')),
    commands.registerCommand('famulus.discardProposal', (uri?: Uri) => this.at(uri ?? inFront())?.answer('discard')),
    window.tabGroups.onDidChangeTabs(({ closed }) => {
      // A tab that is moved beside is opened there first, and then closed here.
      const gone = closed.map(proposedIn).filter((text) => tabsOf(text).length === 0);
      gone.forEach((text) => this.at(text)?.answer('discard'));
    }),
  );
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly client: () => LanguageClient | undefined,
    private readonly pages: Pages,
  ) {}

  /** Takes a notification of the server. */
  told({ id, state, edit }: Told): Promise<void> {
    return this.next(async () => {
      if (state === 'withdrawn') {
        this.unwanted.delete(id);
        this.open.get(id)?.answer('withdrawn');
      } else if (edit) {
        await this.show(edit);
      }
    });
  }

  /** Asks the user about an edit that needs confirmation. */
  readonly ask: NonNullable<WorkspaceMiddleware['handleApplyEdit']> = async (params, next) => {
    const { token } = new CancellationTokenSource();
    const proposal = proposed(params.edit);
    const shown = await this.next(() => this.show(params.edit));
    if (proposal && shown) {
      return this.settle(shown, proposal.annotation, params, (given) => next(given, token));
    }
    return proposal && this.unwanted.has(proposal.id) ? DISCARDED : next(params, token);
  };

  /** Lets go of all: the server has ended. */
  forget(): void {
    this.open.forEach((shown) => shown.answer('withdrawn'));
    this.unwanted.clear();
  }

  dispose(): void {
    this.forget();
    this.registrations.dispose();
  }

  /** One message after the other, in the order of the server's. */
  private next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.turn.then(work);
    this.turn = result.catch(() => undefined);
    return result;
  }

  private async settle(
    shown: Shown,
    { label, description }: ChangeAnnotation,
    params: ApplyWorkspaceEditParams,
    apply: (params: ApplyWorkspaceEditParams) => ReturnType<ApplyWorkspaceEditRequest.HandlerSignature>,
  ): Promise<ApplyWorkspaceEditResult> {
    shown.final = true;
    this.tellFinal();
    const text = description ? `${label} (${description})` : label;
    void window
      .showInformationMessage(text, APPLY, DISCARD)
      .then((button) => button && shown.answer(button === APPLY ? 'apply' : 'discard'));
    if ((await shown.answered) !== 'apply') {
      return DISCARDED;
    }
    const result = await apply({ ...params, edit: confirmed(params.edit) });
    if (!('applied' in result)) {
      return { applied: false, failureReason: result.message };
    }
    await shown.closed; // Whoever saves at once saves the file, not the proposed text.
    if (!result.applied) {
      void window.showWarningMessage('Nothing was applied: the text has changed meanwhile.');
    } else {
      await window.showTextDocument(shown.place, { preview: false }); // It is not saved yet.
    }
    return result;
  }

  /** Shows an edit as a diff, or what has become of one that is shown; undefined: it cannot be shown like this. */
  private async show(edit: WorkspaceEdit): Promise<Shown | undefined> {
    const proposal = proposed(edit);
    const converter = this.client()?.protocol2CodeConverter;
    if (!proposal || !converter || this.unwanted.has(proposal.id)) {
      return undefined;
    }
    const { uri: path, version } = proposal.edit.textDocument;
    const place = converter.asUri(path);
    const before = proposal.created ? this.pages.keep(`${PROPOSALS}${proposal.id}/empty`, '') : place;
    const document = await workspace.openTextDocument(before);
    const known = this.open.get(proposal.id);
    if (version !== null && version !== document.version) {
      return known; // Its places are those of another text; the server withdraws it.
    }
    const name = place.path.split('/').pop();
    const right = this.pages.keep(`${PROPOSALS}${proposal.id}/${name}`, edited(document, proposal, converter));
    const shown = known ?? this.begin(proposal, place, document.uri, right);
    await shown.visible;
    return shown;
  }

  private begin({ id, annotation }: Proposal, place: Uri, left: Uri, right: Uri): Shown {
    const shown = new Shown(place, right, commands.executeCommand('vscode.diff', left, right, annotation.label, { preview: false }));
    this.open.set(id, shown);
    shown.closed = shown.answered.then(async (answer) => {
      this.open.delete(id);
      if (answer === 'discard' && !shown.final) {
        this.unwanted.add(id);
        await this.client()?.sendNotification('famulus/discardProposal', { id });
      }
      this.tellFinal();
      await shown.visible;
      await window.tabGroups.close(tabsOf(right));
    });
    return shown;
  }

  private at(uri: Uri | undefined): Shown | undefined {
    return [...this.open.values()].find((shown) => shown.text.toString() === uri?.toString());
  }

  private tellFinal(): void {
    const final = [...this.open.values()].filter((shown) => shown.final);
    void commands.executeCommand('setContext', FINAL, final.map((shown) => shown.text.toString()));
  }
}

type Answer = 'apply' | 'discard' | 'withdrawn';

/** A proposal in a diff. */
class Shown {
  /** Is it written to its end, so that it can be applied? */
  final = false;
  readonly answered: Promise<Answer>;
  /** Resolved when it was answered and its tabs are closed. */
  closed: Promise<unknown> = Promise.resolve();
  private resolve: (answer: Answer) => void = () => {};

  /** `place`: what would be changed; `text`: the document with the proposed text; `visible`: when the diff is open. */
  constructor(
    readonly place: Uri,
    readonly text: Uri,
    readonly visible: Thenable<unknown>,
  ) {
    this.answered = new Promise((resolve) => (this.resolve = resolve));
  }

  /** The first answer counts; only what is final can be applied. */
  answer(answer: Answer): void {
    if (answer !== 'apply' || this.final) {
      this.resolve(answer);
    }
  }
}

interface Proposal {
  id: string;
  /** Is the document made first? */
  created: boolean;
  edit: TextDocumentEdit;
  annotation: ChangeAnnotation;
}

/** The one edit of one document, there already or new, that needs confirmation, if that is all there is. */
function proposed({ changeAnnotations, documentChanges }: WorkspaceEdit): Proposal | undefined {
  const [annotated, ...others] = Object.entries(changeAnnotations ?? {});
  const changes = documentChanges ?? [];
  const created = CreateFile.is(changes[0]);
  const [edit, ...more] = created ? changes.slice(1) : changes;
  if (!annotated?.[1].needsConfirmation || others.length || more.length || !edit || !('edits' in edit)) {
    return undefined;
  }
  return { id: annotated[0], created, edit, annotation: annotated[1] };
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

/** The proposed text that a tab shows. */
function proposedIn(tab: Tab | undefined): Uri | undefined {
  return tab?.input instanceof TabInputTextDiff ? tab.input.modified : undefined;
}

function inFront(): Uri | undefined {
  return proposedIn(window.tabGroups.activeTabGroup.activeTab);
}

function tabsOf(text: Uri | undefined): Tab[] {
  const tabs = window.tabGroups.all.flatMap((group) => group.tabs);
  return tabs.filter((tab) => text && proposedIn(tab)?.toString() === text.toString());
}
