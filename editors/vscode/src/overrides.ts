/**
 * Settings for single languages (`"[markdown]": {"famulus.…": …}`). The protocol asks for the settings of a file or
 * folder, and VS Code answers without them; the server takes them from `famulus.languages`.
 */

import { Uri, workspace } from 'vscode';
import type { ConfigurationMiddleware } from 'vscode-languageclient/node';

const SECTION = 'famulus';

type Tree = { [name: string]: unknown };

/** What is set for single languages in a scope: by language, in the form of the settings themselves. */
function overrides(scope: Uri | undefined, names: readonly string[]): Tree {
  const found: Tree = {};
  const here = workspace.getConfiguration(SECTION, scope);
  for (const name of names) {
    for (const languageId of here.inspect(name)?.languageIds ?? []) {
      const set = workspace.getConfiguration(SECTION, scope ? { uri: scope, languageId } : { languageId });
      put(found, [languageId, ...name.split('.')], set.get(name));
    }
  }
  return found;
}

function put(tree: Tree, path: readonly string[], value: unknown): void {
  const [first = '', ...rest] = path;
  if (rest.length === 0) {
    tree[first] = value;
  } else {
    put((tree[first] ??= {}) as Tree, rest, value);
  }
}

/** Answers the server's questions for our section with those settings as well. `settings`: all names of ours. */
export function withOverrides(settings: readonly string[]): ConfigurationMiddleware {
  const names = settings.map((name) => name.slice(SECTION.length + 1));
  return {
    configuration: async (params, token, next) => {
      const answers = await next(params, token);
      if (!Array.isArray(answers)) {
        return answers;
      }
      return params.items.map(({ section, scopeUri }, place) => {
        const answer: unknown = answers[place];
        const languages = section === SECTION && overrides(scopeUri ? Uri.parse(scopeUri) : undefined, names);
        return languages && Object.keys(languages).length > 0 ? { ...(answer as Tree), languages } : answer;
      });
    },
  };
}
