import type { CSSProperties } from "react";

/** The first letter of a name, in a colour of its own. */
export function Avatar({ name }: { name: string }) {
  const hue = [...name].reduce((sum, letter) => sum * 31 + letter.codePointAt(0)!, 7) % 360;
  return (
    <div className="avatar" aria-hidden style={{ "--hue": hue } as CSSProperties}>
      {[...name.trim()][0]?.toUpperCase() ?? "?"}
    </div>
  );
}
