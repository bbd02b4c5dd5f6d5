// A lamp behind OPC UA, served by node-opcua: `node opcua_lamp.js PORT FOLDER`; its level is `s=lamp-1.level`, a UInt16.
"use strict";
const path = require("node:path");
// What the library says while it starts belongs to nobody; the output is for answers.
console.log = console.warn = console.info = () => {};
const opcua = require("node-opcua");
const { obeyLines } = require("./line_loop.js");

async function main() {
    const folder = process.argv[3];
    const certificates = new opcua.OPCUACertificateManager({
        rootFolder: path.join(folder, "pki"), automaticallyAcceptUnknownCertificate: true,
    });
    await certificates.initialize();
    const server = new opcua.OPCUAServer({
        port: Number(process.argv[2]), host: "127.0.0.1", hostname: "127.0.0.1",
        securityPolicies: [opcua.SecurityPolicy.None], securityModes: [opcua.MessageSecurityMode.None],
        serverCertificateManager: certificates, userCertificateManager: certificates,
        // The whole standard takes seconds to load at each start; this is what a session needs.
        nodeset_filename: [path.join(path.dirname(require.resolve("node-opcua-address-space/package.json")), "nodesets", "mini.Nodeset2.xml")],
    });
    await server.initialize();
    const namespace = server.engine.addressSpace.getOwnNamespace();
    const level = namespace.addVariable({
        organizedBy: server.engine.addressSpace.rootFolder.objects, browseName: "Level",
        nodeId: "s=lamp-1.level", dataType: "UInt16", minimumSamplingInterval: 0,
        value: { dataType: opcua.DataType.UInt16, value: 0 },
    });
    await server.start();
    const say = (value, status) => level.setValueFromSource(
        { dataType: opcua.DataType.UInt16, value }, status || opcua.StatusCodes.Good);
    obeyLines((what, value) => {
        switch (what) {
        case "held": return level.readValue().value.value;
        case "tell": say(value); return null;
        case "flood": for (const each of value) say(each); return null;
        case "distrust": say(0, opcua.StatusCodes.BadSensorFailure); return null;
        case "garbage": return { cannot: "node-opcua lets no node have a value of a wrong type" };
        }
    });
}

main().catch((error) => { process.stderr.write(String(error && error.stack) + "\n"); process.exit(1); });
