// What both walks need: the code of a mail, from the file that it is written to, and an assertion that narrows.
import { existsSync, readFileSync } from "node:fs";

export async function code(file: string, email: string): Promise<string> {
    const until = Date.now() + 30_000;
    while (Date.now() < until) {
        const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n").reverse() : [];
        const line = lines.find((each) => each.startsWith(`${email}/`) && each.split("/").length === 2);
        if (line !== undefined) return line.slice(email.length + 1);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error("no code has come");
}

export function sure(condition: boolean, what: string): asserts condition {
    if (!condition) throw new Error(`not so: ${what}`);
}
