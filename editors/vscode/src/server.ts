/** The language server of this window: found, started, started again, and stopped. */

import { homedir } from 'node:os';
import { createInterface } from 'node:readline';
import { commands, type Disposable, type LogOutputChannel, window, workspace } from 'vscode';
import {
  CloseAction,
  type ErrorHandler,
  LanguageClient,
  type LanguageClientOptions,
  type ServerCapabilities,
  State,
  type StaticFeature,
} from 'vscode-languageclient/node';

import { find, type Found } from './find';
import { withOverrides } from './overrides';
import type { Pages } from './pages';
import { Proposals, type Told } from './proposals';
import { reportShown } from './shown';
import type { Report, Status } from './status';

const RESTARTS = 4;
const STOP_MS = 2000;

export class Server implements Disposable {
  private client: LanguageClient | undefined;
  private command: string | undefined;
  private said = '';
  private readonly proposals: Proposals;
  private turn: Promise<void> = Promise.resolve();

  /** `owned`: the commands that the extension registers itself and only forwards. `settings`: their names. */
  constructor(
    private readonly status: Status,
    private readonly output: LogOutputChannel,
    pages: Pages,
    private readonly owned: ReadonlySet<string>,
    private readonly settings: readonly string[],
  ) {
    this.proposals = new Proposals(() => this.client, pages);
  }

  /** The client while it runs. */
  get running(): LanguageClient | undefined {
    return this.client?.isRunning() ? this.client : undefined;
  }

  /** Starts the server, in place of the one that runs. */
  restart(): Promise<void> {
    return this.next(async () => {
      const found = await find();
      await this.end();
      await this.begin(found);
    });
  }

  /** Starts the server again if another command is found by now, or none runs. */
  lookAgain(): Promise<void> {
    return this.next(async () => {
      const found = await find();
      if (!this.running || !('command' in found) || found.command !== this.command) {
        await this.end();
        await this.begin(found);
      }
    });
  }

  stop(): Promise<void> {
    return this.next(() => this.end());
  }

  dispose(): void {
    this.proposals.dispose();
    void this.stop();
  }

  /** One thing after the other: two starts at once would be two servers. */
  private next(work: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(work).catch((error) => this.output.error(error));
    return this.turn;
  }

  private async begin(found: Found): Promise<void> {
    if ('missing' in found) {
      this.output.warn(found.missing);
      this.status.report({ ...warning(found.missing), command: HOW_TO_INSTALL });
      if (this.said !== found.missing) {
        this.said = found.missing;
        void askToInstall(found.missing);
      }
      return;
    }
    this.output.info(`Starting ${found.command}, found in ${found.from}.`);
    this.status.report({ kind: 'Normal', busy: true, message: 'The language server is starting.' });
    const client = this.make(found.command);
    this.client = client;
    this.command = found.command;
    // Not awaited: a server that never answers must not keep the next one from starting.
    void client.start().then(
      () => commands.executeCommand('setContext', 'famulus.running', true),
      (error: Error) => this.client === client && this.gaveUp(`The language server did not start: ${error.message}`),
    );
  }

  private async end(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    this.command = undefined;
    if (client?.state === State.Running) {
      await client.dispose(STOP_MS).catch((error) => this.output.warn(error));
    } else {
      client?.serverProcess?.kill(); // A client that is still starting cannot be asked to stop.
    }
  }

  private make(command: string): LanguageClient {
    const client: LanguageClient = new LanguageClient(
      'famulus',
      'Famulus',
      // The home directory: a server that stays in a folder of the workspace would keep it from being unmounted.
      { command, args: ['lsp', '--stdio'], options: { cwd: homedir() } },
      this.options(() => client),
    );
    client.registerFeature(new Forwarded(this.owned));
    client.onNotification('famulus/status', (report: Report) => this.status.report(report));
    client.onNotification('famulus/proposal', (told: Told) => this.proposals.told(told));
    client.onDidChangeState(({ newState }) => newState === State.Stopped && this.proposals.forget());
    return client;
  }

  private options(client: () => LanguageClient): LanguageClientOptions {
    return {
      documentSelector: [{ scheme: 'file' }, { scheme: 'untitled' }, { scheme: 'vscode-notebook-cell' }],
      outputChannel: this.output,
      stdioOptions: { stdout: () => {}, stderr: (lines) => void this.copy(lines) },
      initializationOptions: () => ({
        famulus: { trusted: workspace.isTrusted, status: true, documents: true, proposals: true },
      }),
      errorHandler: this.errorHandler(client),
      middleware: {
        provideInlineCompletionItems: reportShown(client),
        workspace: { handleApplyEdit: this.proposals.ask, ...withOverrides(this.settings) },
      },
    };
  }

  private errorHandler(client: () => LanguageClient): ErrorHandler {
    let standard: ErrorHandler | undefined;
    return {
      error: (error, message, count) => {
        standard ??= client().createDefaultErrorHandler(RESTARTS);
        return standard.error(error, message, count);
      },
      closed: async () => {
        if (this.client !== client()) {
          return { action: CloseAction.DoNotRestart, handled: true }; // We ended it ourselves.
        }
        standard ??= client().createDefaultErrorHandler(RESTARTS);
        const result = await standard.closed();
        if (result.action === CloseAction.DoNotRestart) {
          this.gaveUp(`The language server ended ${RESTARTS + 1} times within three minutes and is not started again.`);
        } else {
          this.status.report({ kind: 'Normal', busy: true, message: 'The language server ended; it starts again.' });
        }
        return { ...result, handled: true };
      },
    };
  }

  private gaveUp(message: string): void {
    this.status.report({ kind: 'Error', busy: false, message, command: RESTART });
    void window.showErrorMessage(message, 'Restart', 'Show the Output').then((answer) => {
      if (answer) {
        void commands.executeCommand(answer === 'Restart' ? 'famulus.restartServer' : 'famulus.showOutput');
      }
    });
  }

  private async copy(lines: NodeJS.ReadableStream): Promise<void> {
    for await (const line of createInterface(lines)) {
      this.output.info(line);
    }
  }
}

/**
 * Keeps the client from registering the commands that we have registered: ours work while no server runs, too, and
 * find out themselves what they are about.
 */
class Forwarded implements StaticFeature {
  constructor(private readonly owned: ReadonlySet<string>) {}

  preInitialize(capabilities: ServerCapabilities): void {
    const provider = capabilities.executeCommandProvider;
    if (provider) {
      provider.commands = provider.commands.filter((name) => !this.owned.has(name));
    }
  }

  fillClientCapabilities(): void {}
  initialize(): void {}
  getState() {
    return { kind: 'static' } as const;
  }
  clear(): void {}
}

const HOW_TO_INSTALL = { title: 'How to Install Famulus', command: 'famulus.install' };
const RESTART = { title: 'Restart the Language Server', command: 'famulus.restartServer' };

function warning(message: string): Report {
  return { kind: 'Warning', busy: false, message };
}

async function askToInstall(message: string): Promise<void> {
  const answer = await window.showWarningMessage(message, 'How to Install', 'Choose the Command');
  if (answer === 'How to Install') {
    await commands.executeCommand('famulus.install');
  } else if (answer) {
    await commands.executeCommand('workbench.action.openSettings', 'famulus.command');
  }
}
