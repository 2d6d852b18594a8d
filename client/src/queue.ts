import { StreamError } from "./errors.js";

/** An async iterator that is fed from outside. */
export interface Queue<T> extends AsyncIterator<T, undefined> {
  push(item: T): void;
  /** Ends it after the items it still holds, with an error where one is given. */
  end(error?: StreamError): void;
}

/** Events a loop may fall behind before it is ended; none is ever dropped silently. */
const CAPACITY = 1000;

/** Creates a queue; `onReturn` is called when its reader leaves early. */
export function createQueue<T>(onReturn: () => void): Queue<T> {
  const items: T[] = [];
  const readers: PromiseWithHandlers<T>[] = [];
  let ended = false;
  let failure: StreamError | undefined;

  const end = (error?: StreamError) => {
    if (ended) return;
    ended = true;
    failure = error;
    for (const reader of readers.splice(0)) finish(reader);
  };

  const finish = ({ resolve, reject }: PromiseWithHandlers<T>) => {
    if (failure) reject(failure);
    else resolve({ done: true, value: undefined });
    failure = undefined;
  };

  return {
    push(value) {
      if (ended) return;
      const reader = readers.shift();
      if (reader) reader.resolve({ done: false, value });
      else if (items.push(value) > CAPACITY) {
        items.length = 0;
        end(new StreamError("overflow", `the loop fell ${CAPACITY} events behind; await less in it`));
      }
    },
    end,
    next: () =>
      new Promise((resolve, reject) => {
        if (items.length) resolve({ done: false, value: items.shift()! });
        else if (ended) finish({ resolve, reject });
        else readers.push({ resolve, reject });
      }),
    return() {
      items.length = 0;
      end();
      onReturn();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
}

interface PromiseWithHandlers<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: StreamError): void;
}
