// A lamp behind Modbus/TCP, served by modbus-serial: `node modbus_lamp.js PORT`; its level is holding register 40 of unit 1.
"use strict";
const { ServerTCP } = require("modbus-serial");
const { obeyLines } = require("./line_loop.js");

const registers = new Uint16Array(100);
let hasFault = false;

function guarded(value) {
    if (hasFault) throw { modbusErrorCode: 4, msg: "device failure" };
    return value;
}

const vector = {
    getHoldingRegister: (address) => guarded(registers[address]),
    setRegister: (address, value) => { guarded(); registers[address] = value; },
};
const server = new ServerTCP(vector, { host: "127.0.0.1", port: Number(process.argv[2]), unitID: 1 });
server.on("socketError", () => {});
server.on("error", () => {});

server.on("initialized", () => obeyLines((what, value) => {
    switch (what) {
    case "held": return registers[40];
    case "tell": hasFault = false; registers[40] = value; return null;
    case "flood": for (const each of value) registers[40] = each; return null;
    case "distrust": hasFault = true; return null;
    case "garbage":
        for (const socket of server.socks.keys()) socket.write(Buffer.from("0000ffff48545450", "hex"));
        return null;
    }
}));
