/** Tells the server which completion VS Code was given to show. */

import { type InlineCompletionItem, window } from 'vscode';
import type { LanguageClient, Middleware } from 'vscode-languageclient/node';

/**
 * The stable API has no word of what was really shown. An answer that nobody cancelled, for the text that is still
 * there, in an editor that is visible, and without the popup in front of it, is the closest to it.
 */
export function reportShown(
  client: () => LanguageClient,
): NonNullable<Middleware['provideInlineCompletionItems']> {
  return async (document, position, context, token, next) => {
    const version = document.version;
    const result = await next(document, position, context, token);
    const [first] = (Array.isArray(result) ? result : (result?.items ?? [])) as InlineCompletionItem[];
    const visible = window.visibleTextEditors.some((editor) => editor.document === document);
    const stale = token.isCancellationRequested || document.version !== version;
    if (first && visible && !stale && !context.selectedCompletionInfo) {
      void client().sendNotification('famulus/didShowCompletion', { item: inProtocol(client(), first) });
    }
    return result;
  };
}

function inProtocol(client: LanguageClient, item: InlineCompletionItem): object {
  const { insertText, range, command } = item;
  return {
    insertText: typeof insertText === 'string' ? insertText : { kind: 'snippet', value: insertText.value },
    range: range && client.code2ProtocolConverter.asRange(range),
    command: command && { title: command.title, command: command.command, arguments: command.arguments },
  };
}
