"""As `watch`, but the first hls.js of the page never asks for the sound."""

import sys

from tests.browser.watch import main

SILENCE = """
window.__prepare = (Hls) => {
  const {audioStreamController} = Hls.DefaultConfig;
  Hls.DefaultConfig.audioStreamController = class extends audioStreamController {
    doTick() {
      if (window.__players > 1) super.doTick();
    }
  };
};
"""

if __name__ == "__main__":
    main(sys.argv[1], script=SILENCE)
