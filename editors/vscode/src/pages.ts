/** What commands answer, as read-only documents. */

import {
  type Disposable,
  EventEmitter,
  languages,
  type TextDocumentContentProvider,
  Uri,
  ViewColumn,
  window,
  workspace,
} from 'vscode';

const SCHEME = 'famulus';
const KEPT = 20;

/** Shown as text and not as a Markdown preview, which would fetch the images that a text names from the network. */
export class Pages implements TextDocumentContentProvider, Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new EventEmitter<Uri>();
  /** Before the registration: VS Code looks there whether texts change. */
  readonly onDidChange = this.changed.event;
  private readonly registration = workspace.registerTextDocumentContentProvider(SCHEME, this);

  provideTextDocumentContent(uri: Uri): string {
    return this.texts.get(uri.path) ?? '';
  }

  /** A document with this text; one with the same path is replaced. */
  keep(path: string, text: string): Uri {
    this.texts.delete(path);
    this.texts.set(path, text);
    for (const old of [...this.texts.keys()].slice(0, -KEPT)) {
      this.texts.delete(old);
    }
    const uri = Uri.from({ scheme: SCHEME, path });
    this.changed.fire(uri);
    return uri;
  }

  /** Shows a page beside the editor. */
  async show(title: string, text: string): Promise<void> {
    const uri = this.keep(`/${title.replace(/[\\/:?#]+/g, ' ').trim()}.md`, text);
    const document = await languages.setTextDocumentLanguage(await workspace.openTextDocument(uri), 'markdown');
    await window.showTextDocument(document, { viewColumn: ViewColumn.Beside, preview: true });
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}
