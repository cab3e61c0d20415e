import { WorkersConfig } from '../config/workers.config.js';
import type { Reservation } from '../domain/placement/reservation.js';
import { DeviceLeasePool } from './device-lease-pool.js';

const SHAPES: Reservation = { model: 'shapes', weightsBytes: 100, peakBytes: 20 };

describe('DeviceLeasePool', () => {
  const newPool = (permits: number) => new DeviceLeasePool(new WorkersConfig({ permits }));
  const never = () => new AbortController().signal;

  it('hands out as many permits as a device has, and no more', () => {
    const pool = newPool(2);
    const leases = [1, 2, 3].map(() => pool.tryAcquire('cpu:0', SHAPES));
    expect(leases.map((lease) => lease !== null)).toEqual([true, true, false]);
    expect(pool.tryAcquire('cuda:0', SHAPES)).not.toBeNull();
  });

  it('takes a permit back once, however often it is released, and tells of it', () => {
    const pool = newPool(1);
    const told: string[] = [];
    pool.onRelease((device) => told.push(device));
    const lease = pool.tryAcquire('cpu:0', SHAPES);
    lease?.release();
    lease?.release();
    expect(told).toEqual(['cpu:0']);
    expect(pool.free('cpu:0')).toBe(1);
  });

  it('tells what is taken, equal reservations each by themselves', () => {
    const pool = newPool(3);
    const first = pool.tryAcquire('cpu:0', SHAPES);
    pool.tryAcquire('cpu:0', SHAPES);
    expect(pool.reservations('cpu:0')).toEqual([SHAPES, SHAPES]);
    first?.release();
    expect(pool.reservations('cpu:0')).toEqual([SHAPES]);
    expect(pool.reservations('cuda:0')).toEqual([]);
  });

  it('gives a device to one alone when all permits are back, and to nobody else from the asking on', async () => {
    const pool = newPool(4);
    const company = pool.tryAcquire('cpu:0', SHAPES);
    const alone = pool.acquireAlone('cpu:0', SHAPES, never());
    expect(pool.free('cpu:0')).toBe(0);
    expect(pool.tryAcquire('cpu:0', SHAPES)).toBeNull();
    company?.release();
    const lease = await alone;
    expect(pool.reservations('cpu:0')).toEqual([SHAPES]);
    expect(pool.tryAcquire('cpu:0', SHAPES)).toBeNull();
    lease.release();
    lease.release();
    expect(pool.free('cpu:0')).toBe(4);
  });

  it('gives a device to those who want it alone one after the other', async () => {
    const pool = newPool(2);
    const first = await pool.acquireAlone('cpu:0', SHAPES, never());
    const second = pool.acquireAlone('cpu:0', SHAPES, never());
    first.release();
    expect(pool.free('cpu:0')).toBe(0);
    (await second).release();
    expect(pool.free('cpu:0')).toBe(2);
  });

  it('takes nothing for one who no longer wants it, and lets the others on', async () => {
    const pool = newPool(2);
    const company = pool.tryAcquire('cpu:0', SHAPES);
    const told: string[] = [];
    pool.onRelease((device) => told.push(device));
    const giveUp = new AbortController();
    const alone = pool.acquireAlone('cpu:0', SHAPES, giveUp.signal);
    giveUp.abort('cancel');
    await expect(alone).rejects.toBe('cancel');
    expect(told).toEqual(['cpu:0']);
    expect(pool.free('cpu:0')).toBe(1);
    company?.release();
    expect(pool.free('cpu:0')).toBe(2);
    await expect(pool.acquireAlone('cpu:0', SHAPES, AbortSignal.abort('late'))).rejects.toBe('late');
    expect(pool.free('cpu:0')).toBe(2);
  });
});
