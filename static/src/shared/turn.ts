// Turn: requests one after another, in the order of the keys, so that an undo always meets what it takes back.

/** A queue of its own: runs each piece of work once those before it have ended, well or badly. */
export function inTurn(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined); // whoever called hears of it
    return mine;
  };
}
