"""eva's own command, on a machine whose torch has no CUDA.

torchvision's wheel is built for CUDA and does not load its compiled part beside a torch without it; its Python part
then asks for two operators that nobody defined. They are defined here, empty: nothing in these tests calls them. It is
done at the top of the module, because eva starts processes that import it again.
"""

import torch

if not torch.version.cuda:
    _operators = torch.library.Library("torchvision", "DEF")
    _operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

if __name__ == "__main__":
    from eva.__main__ import main

    main()
