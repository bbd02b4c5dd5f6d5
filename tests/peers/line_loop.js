// The loop of an equipment that is told by lines (pilotage.testing.peers.LinePeer).
"use strict";
const readline = require("node:readline");

exports.obeyLines = function (obey) {
    const lines = readline.createInterface({ input: process.stdin });
    lines.on("line", async (line) => {
        const order = JSON.parse(line);
        let answer;
        try {
            answer = await obey(order.do, order.values === undefined ? order.value : order.values);
        } catch (error) {
            answer = { error: String(error) };
        }
        process.stdout.write(JSON.stringify(answer === undefined ? null : answer) + "\n");
    });
    lines.on("close", () => process.exit(0));
    process.stdout.write("ready\n");
};
