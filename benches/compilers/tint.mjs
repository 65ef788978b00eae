// Compiles WGSL by Tint, the compiler of Chrome and Edge, through Dawn without a device.
//
//   node tint.mjs WEBGPU_PACKAGE < LIST      a line of the list: FILE<tab>ENTRY<tab>CONSTANTS
//
// For each: ok or ERROR, the file; then what the compiler says of an error. It exits with 0 when it
// compiled all and with 1 when it refused one.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const at = createRequire(import.meta.url).resolve(process.argv[2]);
const { create, globals } = await import(pathToFileURL(at));
Object.assign(globalThis, globals);

// Dawn's null backend translates and validates, and runs nothing.
const gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({
    requiredFeatures: ['shader-f16', 'subgroups'].filter((feature) => adapter.features.has(feature)),
});

let refused = false;
for (const line of fs.readFileSync(0, 'utf8').trim().split('\n')) {
    const [file, entryPoint, constants = ''] = line.split('\t');
    const code = fs.readFileSync(file, 'utf8');
    device.pushErrorScope('validation');
    device.pushErrorScope('internal');
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    const errors = messages.filter((message) => message.type === 'error');
    // A pipeline takes no constant that its module doesn't declare, and wgpu neither.
    const pairs = constants.split(',').map((pair) => pair.split('='));
    const declared = pairs.filter(([name]) => name && code.includes(`override ${name}:`));
    if (errors.length === 0) {
        device.createComputePipeline({
            layout: 'auto',
            compute: {
                module,
                entryPoint,
                constants: Object.fromEntries(declared.map(([name, value]) => [name, Number(value)])),
            },
        });
    }
    const scopes = [await device.popErrorScope(), await device.popErrorScope()];
    const said = [
        ...errors.map((message) => `${message.lineNum}: ${message.message}`),
        ...scopes.filter((error) => error && errors.length === 0).map((error) => error.message),
    ];
    console.log(`${said.length ? 'ERROR' : 'ok'}\t${file}`);
    said.forEach((text) => console.log(`    ${text.replaceAll('\n', '\n    ')}`));
    refused ||= said.length > 0;
}
// Dawn keeps the process alive.
process.exit(refused ? 1 : 0);
