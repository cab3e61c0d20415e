import { WorkersConfig } from '../config/workers.config.js';
import { DeviceLeasePool } from './device-lease-pool.js';

describe('DeviceLeasePool', () => {
  const newPool = (permits: number) => new DeviceLeasePool(new WorkersConfig({ permits }));

  it('hands out as many permits as a device has, and no more', () => {
    const pool = newPool(2);
    const leases = [pool.tryAcquire('cpu:0'), pool.tryAcquire('cpu:0'), pool.tryAcquire('cpu:0')];
    expect(leases.map((lease) => lease !== null)).toEqual([true, true, false]);
    expect(pool.tryAcquire('cuda:0')).not.toBeNull();
  });

  it('takes a permit back once, however often it is released, and tells of it', () => {
    const pool = newPool(1);
    const told: string[] = [];
    pool.onRelease((device) => told.push(device));
    const lease = pool.tryAcquire('cpu:0');
    lease?.release();
    lease?.release();
    expect(told).toEqual(['cpu:0']);
    expect(pool.free('cpu:0')).toBe(1);
  });
});
