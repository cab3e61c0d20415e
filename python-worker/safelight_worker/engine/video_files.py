"""A video as an MP4 file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from safelight_worker.runners.outputs import Video

#: Constant rate factor of x264 when no quality is asked for: the worst that is said to look like the source.
_CRF_DEFAULT = 18

#: Rate factors of qualities 0 and 100. Below 10 files grow and nothing is seen of it.
_CRF_WORST, _CRF_BEST = 40, 10

#: ITU-R BT.709 in the numbers of ITU-T H.273; 1 of the range is the studio's 16 … 235.
_BT709 = 1


def write_mp4(video: Video, path: Path, quality: int, metadata: Mapping[str, str]) -> tuple[int, int]:
    """Writes H.264, yuv420p, BT.709, playable before it is wholly read. Returns its width and height.

    Both are even, as the format demands: odd ones are completed by repeating the last column or row. ``quality`` is 1 … 100;
    0: one that looks like the source. ``metadata`` lies in the comment as JSON.
    """
    height, width = (size + size % 2 for size in video.frames.shape[1:3])
    crf = round(_CRF_WORST - (_CRF_WORST - _CRF_BEST) * quality / 100) if quality else _CRF_DEFAULT
    with av.open(path, "w", format="mp4", options={"movflags": "faststart"}) as container:
        container.metadata["comment"] = json.dumps(dict(metadata))
        stream = container.add_stream("libx264", rate=video.fps, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = _BT709
        for frame in video.frames:
            picture = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(stream.encode(None))
    return width, height


def _even(frame: NDArray[np.float32]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    pixels = (frame * 255).round().astype(np.uint8)
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
