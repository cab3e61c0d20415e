import type { Type } from '@nestjs/common';
import { SetMetadata } from '@nestjs/common';
import { PATH_METADATA } from '@nestjs/common/constants.js';
import { MetadataScanner } from '@nestjs/core';

const TAKES_PICTURES = Symbol('TakesPictures');

/** The JSON of a route holds pictures: it may have `http.max_body_bytes`, not only `http.body_limit_bytes`. */
export const TakesPictures = () => SetMetadata(TAKES_PICTURES, true);

/** Routes of controllers that say {@link TakesPictures}. Their paths are single ones without parameters. */
export class PictureRoutes {
  readonly paths: ReadonlySet<string>;

  constructor(controllers: readonly Type[]) {
    this.paths = new Set(controllers.flatMap(pathsOf));
  }

  /** `url`: as it came, with its query. */
  includes(url: string): boolean {
    const [path = ''] = url.split('?', 1);
    return this.paths.has(path.toLowerCase().replace(/\/$/, ''));
  }
}

function pathsOf(controller: Type): string[] {
  const prototype = controller.prototype as Record<string, object>;
  const handlers = new MetadataScanner().getAllMethodNames(prototype).map((name) => prototype[name] as object);
  return handlers
    .filter((handler) => Reflect.getMetadata(TAKES_PICTURES, handler) === true)
    .map((handler) => pathOf(controller) + pathOf(handler));
}

/** With a slash before each segment and none at the end. */
function pathOf(target: object): string {
  const segments = (Reflect.getMetadata(PATH_METADATA, target) as string).split('/');
  return segments.flatMap((segment) => (segment === '' ? [] : [`/${segment}`])).join('');
}
