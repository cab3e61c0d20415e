// Who may import whom. In one line:
//   api → jobs → domain ← dispatch → (ports) ← workers, comfyui, devices, artifacts, events, persistence, models, inputs, webhooks (→ net, png)
// Adapters meet in the composition root only. `npm run deps` checks it; each rule says its reason.
// Imports of types count too: a type that crosses a layer ties it just as well.

const SPEC = '\\.spec\\.ts$';
// The files directly below src/: main, the module and what starts and stops it.
const COMPOSITION_ROOT = '^src/[^/]+\\.ts$';
const ADAPTERS = 'workers|comfyui|devices|artifacts|events|persistence|models|inputs|webhooks';
const PORTS = '^src/(jobs|dispatch)/ports/';

/**
 * A layer and all of our own folders it may look at.
 * @param {string} layer folder below src/
 * @param {string[]} allowed patterns below src/
 * @param {string} comment
 */
const mayImport = (layer, allowed, comment) => ({
  name: `${layer}-looks-only-at-${allowed.length > 0 ? allowed.map((pattern) => pattern.replace(/\W+/g, '-').replace(/-$/, '')).join('-and-') : 'itself'}`,
  comment,
  severity: 'error',
  from: { path: `^src/${layer}/`, pathNot: SPEC },
  to: { path: '^src/', pathNot: [`^src/${layer}/`, ...allowed.map((pattern) => `^src/${pattern}`)] },
});

const adapterMayImport = (/** @type {string} */ layer, /** @type {string[]} */ more = []) =>
  mayImport(
    layer,
    ['domain/', 'config/', 'telemetry/', '(jobs|dispatch)/ports/', ...more],
    'An adapter sees the port it fills and the words of the domain; knowing more, it could not be swapped.',
  );

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'ES modules with decorator metadata fail at start on a cycle, and a cycle has no layer.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphans',
      comment: 'A file that nobody imports and that imports nobody is left over.',
      severity: 'error',
      from: { orphan: true, pathNot: [COMPOSITION_ROOT, '\\.d\\.ts$', SPEC] },
      to: {},
    },
    {
      name: 'everything-resolves',
      comment: 'An import that leads nowhere fails only when its line is reached.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-development-packages-at-run-time',
      comment: 'The image is installed without development packages.',
      severity: 'error',
      from: { path: '^src/', pathNot: SPEC },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-tests-in-the-product',
      comment: 'The build leaves specs and test/ out.',
      severity: 'error',
      from: { path: '^src/', pathNot: SPEC },
      to: { path: [SPEC, '^test/'] },
    },

    // ------------------------------------------------------------- layers
    {
      name: 'domain-is-pure',
      comment:
        'Decisions are functions of their arguments: no Nest, no input or output, no clock. Only then is a table of rows a full test.',
      severity: 'error',
      from: { path: '^src/domain/', pathNot: SPEC },
      to: { pathNot: '^src/domain/' },
    },
    mayImport('config', [], 'Settings are read once at boot and handed out; they know nobody.'),
    mayImport('telemetry', ['domain/', 'config/'], 'Everybody reports through telemetry, so it must not look back.'),
    mayImport(
      'metrics',
      ['domain/', 'config/', 'telemetry/', '(jobs|dispatch)/ports/'],
      'What is counted comes from ports, so a metric holds for any database and any worker.',
    ),
    mayImport(
      'jobs',
      ['domain/', 'config/', 'telemetry/'],
      'Use cases hold for any database, worker or protocol; what they need is drawn as a port.',
    ),
    mayImport(
      'dispatch',
      ['jobs/', 'domain/', 'config/', 'telemetry/'],
      'The loop talks to workers and devices through its ports and is tested without either.',
    ),
    adapterMayImport('workers', ['gen/']),
    adapterMayImport('comfyui', ['png/']),
    adapterMayImport('devices'),
    adapterMayImport('artifacts'),
    adapterMayImport('events'),
    adapterMayImport('persistence'),
    adapterMayImport('models'),
    adapterMayImport('inputs', ['net/']),
    adapterMayImport('webhooks', ['net/']),
    mayImport('net', [], 'Which addresses a connection may go to is one question, whoever connects and whatever for.'),
    mayImport('png', [], 'What stands in the bytes of a file does not depend on who reads it.'),
    mayImport(
      'api',
      ['jobs/', 'domain/', 'config/', 'telemetry/', 'metrics/', 'gen/', 'png/'],
      'An edge translates and nothing else: it asks a use case, never the dispatcher or an adapter.',
    ),
    mayImport('gen', [], 'Generated code stands alone.'),

    // ------------------------------------------------------------- single doors
    {
      name: 'api-is-the-outermost',
      comment:
        'Nobody imports api: what two edges share belongs into jobs. The composition root and the command line start it.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/api/', '^src/cli/', COMPOSITION_ROOT, SPEC] },
      to: { path: '^src/api/' },
    },
    {
      name: 'adapters-are-named-in-the-composition-root',
      comment: 'Which database, which device, which worker: one place to look, one place to change.',
      severity: 'error',
      from: { path: '^src/([^/]+)', pathNot: [COMPOSITION_ROOT, SPEC] },
      to: { path: `^src/(${ADAPTERS})/`, pathNot: '^src/$1/' },
    },
    {
      name: 'cli-is-not-imported',
      comment: 'The command line is a way in, like api; only main starts it.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/cli/', COMPOSITION_ROOT, SPEC] },
      to: { path: '^src/cli/' },
    },
    {
      name: 'composition-root-is-not-imported',
      comment:
        'It knows everybody, so importing it imports everybody; only main and the command line start the program.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/cli/', COMPOSITION_ROOT, SPEC] },
      to: { path: COMPOSITION_ROOT },
    },
    {
      name: 'wire-types-stay-at-the-wire',
      comment: 'A change of the proto must stop at the one file per side that maps it.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/gen/', '^src/workers/client/', '^src/api/grpc/', SPEC] },
      to: { path: '^src/gen/' },
    },
    {
      name: 'grpc-stays-at-the-wire',
      comment: 'Status codes and channels are translated where they come in.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/gen/', '^src/workers/client/', '^src/api/grpc/', SPEC] },
      to: { path: '^node_modules/@grpc/' },
    },
    {
      name: 'opentelemetry-is-behind-one-door',
      comment: 'One file speaks its words.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/telemetry/tracing/otlp-tracing\\.ts$', SPEC] },
      to: { path: '^node_modules/@opentelemetry/' },
    },
    {
      name: 'opentelemetry-is-loaded-when-it-is-used',
      comment: 'It costs time and memory at every start; who traces nothing does not pay for it.',
      severity: 'error',
      from: { path: '^src/', pathNot: SPEC },
      to: { path: '^src/telemetry/tracing/otlp-tracing\\.ts$', dependencyTypesNot: ['dynamic-import'] },
    },
    {
      name: 'processes-are-started-by-workers-and-probes',
      comment:
        'A process that is started has to be stopped; supervision lives in workers, device probes are short, the command line ends with its child.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(workers|devices|cli)/', SPEC] },
      to: { path: ['^node_modules/execa/', '^(node:)?child_process$'] },
    },
    {
      name: 'ports-lean-on-the-domain',
      comment: 'A port is drawn in the words of the domain; its neighbours are use cases, not its vocabulary.',
      severity: 'error',
      from: { path: PORTS },
      to: { path: '^src/', pathNot: ['^src/domain/', PORTS] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      mainFields: ['module', 'main', 'types'],
    },
    progress: { type: 'none' },
  },
};
