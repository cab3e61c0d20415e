import type { ConfigAreas } from './areas.js';

/** Token of all settings, for whoever shows them; who needs one area asks for that area. */
export const SETTINGS = Symbol('Settings');

/** Where a value that is no default came from. */
export interface SettingOrigin {
  /** As in the file, such as `http.port`. */
  readonly setting: string;
  /** `safelight.yaml:4:9`, `SAFELIGHT_HTTP_PORT` or `--port`. */
  readonly from: string;
}

/** A value given on the command line. */
export interface Override {
  /** As in the file, such as `http.port`. */
  readonly setting: string;
  readonly text: string;
  /** The option that gave it, such as `--port`. */
  readonly option: string;
}

/** Everything that can be set, checked. */
export interface Settings extends ConfigAreas {
  readonly sources: {
    /** Absolute path of the file that was read; null: there was none. */
    readonly configFile: string | null;
    readonly origins: readonly SettingOrigin[];
  };
  /** What is odd but harms nothing; for the log or the terminal. */
  readonly warnings: readonly string[];
}
