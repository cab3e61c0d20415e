/** The part of Express's router that tells what is served where. */
interface RouterStack {
  readonly stack: readonly {
    readonly route?: { readonly path: unknown; readonly methods: Readonly<Record<string, boolean>> };
  }[];
}

/**
 * Methods served under a path; empty when nothing is. Express answers a wrong method like an unknown path, but RFC 9110
 * wants 405 with the list.
 */
export function allowedMethods(router: RouterStack, path: string): string[] {
  const methods = new Set<string>();
  for (const { route } of router.stack) {
    if (typeof route?.path !== 'string' || !pattern(route.path).test(path)) continue;
    for (const method of Object.keys(route.methods)) methods.add(method.toUpperCase());
  }
  if (methods.has('GET')) methods.add('HEAD');
  return [...methods].sort();
}

/** Our routes are literal segments, `:name` for one segment and `*name` for the rest. */
function pattern(route: string): RegExp {
  const segments = route.split('/').map((segment) => {
    if (segment.startsWith(':')) return '[^/]+';
    return segment.startsWith('*') ? '.+' : segment.replaceAll(/[^\w-]/g, String.raw`\$&`);
  });
  return new RegExp(`^${segments.join('/')}/?$`, 'i');
}
