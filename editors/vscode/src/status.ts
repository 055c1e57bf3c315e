/** The item in the status bar: what Famulus does, or why it does nothing. */

import { type Command, type Disposable, StatusBarAlignment, ThemeColor, window, workspace } from 'vscode';

/** What the server says with `famulus/status`, and what we say ourselves while there is no server. */
export interface Report {
  kind: 'Normal' | 'Warning' | 'Error' | 'Inactive';
  busy: boolean;
  message: string;
  command?: Command;
}

/** A spinner that turns at every key is a distraction: only work that takes longer shows. */
const BUSY_AFTER_MS = 500;

export class Status implements Disposable {
  private readonly item = window.createStatusBarItem('famulus.status', StatusBarAlignment.Right, 100);
  private readonly subscriptions: Disposable[] = [];
  private timer: NodeJS.Timeout | undefined;
  private spinning = false;
  private current: Report = { kind: 'Normal', busy: true, message: 'The language server is starting.' };

  constructor() {
    this.item.name = 'Famulus';
    this.item.command = 'famulus.menu';
    this.subscriptions.push(
      window.onDidChangeActiveTextEditor(() => this.draw()),
      workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('famulus') && this.draw()),
    );
    this.report(this.current);
    this.item.show();
  }

  get latest(): Report {
    return this.current;
  }

  report(report: Report): void {
    this.current = report;
    if (!report.busy) {
      clearTimeout(this.timer);
      this.timer = undefined;
      this.spinning = false;
    } else if (!this.spinning && !this.timer) {
      this.timer = setTimeout(() => {
        this.timer = undefined;
        this.spinning = true;
        this.draw();
      }, BUSY_AFTER_MS);
    }
    this.draw();
  }

  private draw(): void {
    const { kind, message } = this.current;
    const off = kind === 'Normal' ? whyOff() : undefined;
    const icon = off || kind === 'Inactive' ? 'circle-slash' : ICONS[kind];
    const words = off ?? (message || (this.spinning ? 'Working.' : 'Ready.'));
    this.item.text = `$(${this.spinning && !off ? 'loading~spin' : icon}) Famulus`;
    this.item.tooltip = words;
    this.item.accessibilityInformation = { label: `Famulus: ${words}` };
    this.item.backgroundColor =
      kind === 'Warning' || kind === 'Error'
        ? new ThemeColor(`statusBarItem.${kind.toLowerCase()}Background`)
        : undefined;
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const subscription of this.subscriptions) {
      subscription.dispose();
    }
    this.item.dispose();
  }
}

const ICONS = { Normal: 'sparkle', Warning: 'warning', Error: 'error' } as const;

function whyOff(): string | undefined {
  const document = window.activeTextEditor?.document;
  const settings = workspace.getConfiguration('famulus.completion', document);
  if (!settings.get<boolean>('enabled', true)) {
    return 'Completion is turned off.';
  }
  const languages = settings.get<Record<string, boolean>>('languages', {});
  return document && languages[document.languageId] === false
    ? `Completion is turned off for ${document.languageId}.`
    : undefined;
}
