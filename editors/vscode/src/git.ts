/** The commit message goes into the input box of the source control view. */

import { extensions, type SourceControl, type Uri, window } from 'vscode';

interface Repository {
  rootUri: Uri;
  inputBox: { value: string };
  ui: { selected: boolean };
}

interface GitExtension {
  getAPI(version: 1): { repositories: Repository[]; getRepository(uri: Uri): Repository | null };
}

/** The repository of the view that was clicked in, else of the file that is open, else the selected or only one. */
export async function repository(view: SourceControl | undefined): Promise<Repository | undefined> {
  const git = extensions.getExtension<GitExtension>('vscode.git');
  if (!git) {
    return undefined;
  }
  const api = (git.isActive ? git.exports : await git.activate()).getAPI(1);
  const place = view?.rootUri ?? window.activeTextEditor?.document.uri;
  return (
    (place && api.getRepository(place)) || api.repositories.find((found) => found.ui.selected) || api.repositories[0]
  );
}

/** Puts the message into the box; what somebody wrote there is replaced only if they say so. */
export async function propose(target: Repository, message: string): Promise<void> {
  const written = target.inputBox.value.trim();
  if (written && written !== message.trim()) {
    const question = 'There is a commit message already. Replace it?';
    if ((await window.showWarningMessage(question, { modal: true }, 'Replace')) !== 'Replace') {
      return;
    }
  }
  target.inputBox.value = message.trim();
}
