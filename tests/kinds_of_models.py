"""Small models of the kinds that public collections of ncnn models hold, as .param text.

Sources: the layers, their order and their parameters are those of nihui/ncnn-assets, Tencent/ncnn's benchmark and
other repositories; sizes are our own.
"""

from __future__ import annotations

from pathlib import Path

_BACKBONE = "Convolution c1 1 1 data c1 0=8 1=3 3=2 4=1 5=1 6=216 9=1"

_PRIOR = "-23302=1,2.0 3=0.1 4=0.1 5=0.2 6=0.2 7=1 8=0 9=-233 10=-233 11=-233.0 12=-233.0 13=0.5"
_ANCHORS = (
    "-23304=12,4,6,8,9,12,14,3,5,6,8,10,9 "
    "-23305=6,1077936128,1082130432,1084227584,0,1065353216,1073741824 -23306=2,8.0,4.0"
)

KINDS = {
    "ssd": f"""
Input data 0 1 data 0=32 1=32 2=3
Split s0 1 3 data data_0 data_1 data_2
{_BACKBONE.replace(" data ", " data_0 ")}
Normalize norm 1 1 c1 norm 0=0 1=0 2=0.0001 3=8
Split s1 1 4 norm norm_0 norm_1 norm_2 norm_3
Convolution loc1 1 1 norm_0 loc1 0=16 1=3 4=1 5=1 6=1152
Permute loc1_perm 1 1 loc1 loc1_perm 0=3
Flatten loc1_flat 1 1 loc1_perm loc1_flat
Convolution conf1 1 1 norm_1 conf1 0=12 1=3 4=1 5=1 6=864
Permute conf1_perm 1 1 conf1 conf1_perm 0=3
Flatten conf1_flat 1 1 conf1_perm conf1_flat
PriorBox prior1 2 1 norm_2 data_1 prior1 -23300=1,6.0 -23301=1,12.0 {_PRIOR}
Convolution c2 1 1 norm_3 c2 0=8 1=3 3=2 4=1 5=1 6=576 9=1
Split s2 1 3 c2 c2_0 c2_1 c2_2
Convolution loc2 1 1 c2_0 loc2 0=16 1=1 5=1 6=128
Permute loc2_perm 1 1 loc2 loc2_perm 0=3
Flatten loc2_flat 1 1 loc2_perm loc2_flat
Convolution conf2 1 1 c2_1 conf2 0=12 1=1 5=1 6=96
Permute conf2_perm 1 1 conf2 conf2_perm 0=3
Flatten conf2_flat 1 1 conf2_perm conf2_flat
PriorBox prior2 2 1 c2_2 data_2 prior2 -23300=1,12.0 -23301=1,20.0 {_PRIOR}
Concat loc 2 1 loc1_flat loc2_flat loc
Concat conf 2 1 conf1_flat conf2_flat conf
Concat prior 2 1 prior1 prior2 prior 0=1
Reshape conf_reshape 1 1 conf conf_reshape 0=3 1=-1
Softmax prob 1 1 conf_reshape prob 0=1 1=1
Flatten prob_flat 1 1 prob prob_flat
DetectionOutput detection 3 1 loc prob_flat prior detection 0=3 1=0.45 2=100 3=50 4=0.01
""",
    "faster-rcnn": f"""
Input data 0 1 data
Input im_info 0 1 im_info 0=3 1=-233 2=-233
{_BACKBONE}
LRN lrn 1 1 c1 lrn 0=1 1=3 2=0.00005
Pooling pool 1 1 lrn pool 1=3 2=2 3=1
Convolution c2 1 1 pool c2 0=8 1=3 3=2 4=1 5=1 6=576 9=1
Split s1 1 3 c2 c2_0 c2_1 c2_2
Convolution score 1 1 c2_0 score 0=18 1=1 5=1 6=144
Convolution bbox 1 1 c2_1 bbox 0=36 1=1 5=1 6=288
Reshape score_reshape 1 1 score score_reshape 0=0 1=-1 2=2
Softmax score_prob 1 1 score_reshape score_prob
Reshape score_back 1 1 score_prob score_back 0=0 1=-1 2=18
Proposal proposal 3 1 score_back bbox im_info rois
Split s2 1 2 rois rois_0 rois_1
ROIPooling roi 2 1 c2_2 rois_0 roi 0=2 1=2 2=0.0625
InnerProduct fc 1 1 roi fc 0=16 1=1 2=512 9=1
Dropout drop 1 1 fc drop 0=0.5
InnerProduct cls 1 1 drop cls 0=4 1=1 2=64
Softmax cls_prob 1 1 cls cls_prob
Noop silence 1 0 rois_1
""",
    "rfcn": f"""
Input data 0 1 data 0=64 1=64 2=3
Input im_info 0 1 im_info 0=3 1=-233 2=-233
{_BACKBONE}
Convolution c2 1 1 c1 c2 0=8 1=3 3=2 4=1 5=1 6=576 9=1
Split s1 1 3 c2 c2_0 c2_1 c2_2
Convolution score 1 1 c2_0 score 0=18 1=1 5=1 6=144
Convolution bbox 1 1 c2_1 bbox 0=36 1=1 5=1 6=288
Reshape score_reshape 1 1 score score_reshape 0=0 1=-1 2=2
Softmax score_prob 1 1 score_reshape score_prob
Reshape score_back 1 1 score_prob score_back 0=0 1=-1 2=18
Proposal proposal 3 1 score_back bbox im_info rois
Convolution rfcn 1 1 c2_2 rfcn 0=147 1=1 5=1 6=1176
PSROIPooling ps 2 1 rfcn rois ps 3=3
Pooling average 1 1 ps average 0=1 1=7 2=7
Softmax prob 1 1 average prob
Reshape prob_reshape 1 1 prob prob_reshape 0=3 1=-1
""",
    "yolov3": f"""
Input data 0 1 data
{_BACKBONE.replace("9=1", "9=2 -23310=1,0.1")}
Pooling pool 1 1 c1 pool 0=0 1=2 2=2
Split s1 1 2 pool pool_0 pool_1
Convolution c2 1 1 pool_0 c2 0=16 1=3 3=2 4=1 5=1 6=1152
BatchNorm c2_bn 1 1 c2 c2_bn 0=16
ReLU c2_leaky 1 1 c2_bn c2_leaky 0=0.1
Split s2 1 3 c2_leaky c2_0 c2_1 c2_2
Convolution head1 1 1 c2_0 head1 0=21 1=1 5=1 6=336
Interp up 1 1 c2_1 up 0=1 1=2.0 2=2.0
DeconvolutionDepthWise deconv 1 1 c2_2 deconv 0=16 1=4 3=2 4=1 5=0 6=256 7=16
Concat cat 3 1 up deconv pool_1 cat
Convolution head2 1 1 cat head2 0=21 1=1 5=1 6=840
Yolov3DetectionOutput detection 2 1 head1 head2 output 0=2 1=3 2=0.05 {_ANCHORS}
""",
    "yolov2": f"""
Input data 0 1 data 0=32 1=32 2=3
{_BACKBONE}
Split s1 1 2 c1 c1_0 c1_1
Reorg reorg 1 1 c1_0 reorg 0=2
Convolution c2 1 1 c1_1 c2 0=16 1=3 3=2 4=1 5=1 6=1152 9=1
Concat cat 2 1 reorg c2 cat
Convolution head 1 1 cat head 0=14 1=1 5=1 6=672
YoloDetectionOutput detection 1 1 head output 0=2 1=2 2=0.05 3=0.45 -23304=4,1.0,1.5,2.0,2.5
""",
    "shufflenet": f"""
Input data 0 1 data
{_BACKBONE}
Slice slice 1 2 c1 left right -23300=2,4,-233
Convolution c2 1 1 right c2 0=4 1=1 5=1 6=16 9=1
ConvolutionDepthWise c3 1 1 c2 c3 0=4 1=3 4=1 5=1 6=36 7=4
Convolution c4 1 1 c3 c4 0=4 1=1 5=1 6=16 9=1
Concat cat 2 1 left c4 cat
ShuffleChannel shuffle 1 1 cat shuffle 0=2
Split s1 1 2 shuffle shuffle_0 shuffle_1
Crop crop 1 1 shuffle_0 crop -23309=1,4 -23310=1,2147483647 -23311=1,0
Crop crop_2 1 1 shuffle_1 crop_2 -23309=1,0 -23310=1,4 -23311=1,0
Concat cat_2 2 1 crop crop_2 cat_2
ConvolutionDepthWise c5 1 1 cat_2 c5 0=8 1=3 3=2 4=1 5=1 6=72 7=8
Pooling pool 1 1 c5 pool 0=1 4=1
InnerProduct fc 1 1 pool fc 0=10 1=1 2=80
Softmax prob 1 1 fc prob
""",
    "mobilenetv3": f"""
Input data 0 1 data
MemoryData three 0 1 three 0=1
MemoryData six 0 1 six 0=1
{_BACKBONE.replace(" 9=1", "")}
Split s1 1 2 c1 c1_0 c1_1
BinaryOp plus 2 1 c1_0 three plus 0=0
Clip clip 1 1 plus clip 0=0.0 1=6.0
BinaryOp gate 2 1 c1_1 clip gate 0=2
BinaryOp swish 2 1 gate six swish 0=3
ConvolutionDepthWise dw 1 1 swish dw 0=8 1=3 4=1 5=1 6=72 7=8
HardSwish hs 1 1 dw hs 0=0.1666667 1=0.5
Split s2 1 2 hs hs_0 hs_1
Pooling pool 1 1 hs_0 pool 0=1 4=1
Convolution squeeze 1 1 pool squeeze 0=4 1=1 5=1 6=32 9=1
Convolution excite 1 1 squeeze excite 0=8 1=1 5=1 6=32
HardSigmoid sigmoid 1 1 excite sigmoid 0=0.1666667 1=0.5
BinaryOp scaled 2 1 hs_1 sigmoid scaled 0=2
Convolution c2 1 1 scaled c2 0=8 1=1 5=1 6=64
Split s3 1 2 c2 c2_0 c2_1
Pooling pool2 1 1 c2_0 pool2 0=1 4=1
Scale excited 2 1 c2_1 pool2 excited 0=-233
Convolution head 1 1 excited out 0=4 1=1 5=1 6=32
""",
    "caffe-chain": f"""
Input data 0 1 data
{_BACKBONE.replace(" 9=1", "")}
Scale scale 1 1 c1 scale 0=8 1=1
PReLU prelu 1 1 scale prelu 0=8
Split s1 1 2 prelu prelu_0 prelu_1
Convolution c2 1 1 prelu_0 c2 0=8 1=3 4=1 5=0 6=576
BatchNorm bn 1 1 c2 bn 0=8
Bias bias 1 1 bn bias 0=8
Eltwise sum 2 1 bias prelu_1 sum 0=1 -23301=2,1.0,0.5
ELU elu 1 1 sum elu 0=0.1
Deconvolution up 1 1 elu up 0=4 1=2 3=2 5=1 6=128
TanH tanh 1 1 up out
""",
    "yolov8": """
Input in0 0 1 in0
Convolution c1 1 1 in0 c1 0=16 1=3 3=8 4=1 5=1 6=432
Swish silu 1 1 c1 silu
Convolution c2 1 1 silu c2 0=12 1=1 5=1 6=192
MemoryData text 0 1 text 0=12 1=4
Split s1 1 2 c2 c2_0 c2_1
Einsum einsum 2 1 c2_0 text einsum -23300=11,108,106,107,44,105,108,45,62,105,106,107
BinaryOp mul 1 1 einsum mul 0=2 1=1 2=1.5
Concat cat 2 1 c2_1 mul cat 0=0
Reshape view 1 1 cat view 0=784 1=16
Slice chunk 1 2 view box cls -23300=2,8,-233 1=0
Reshape box_view 1 1 box box_view 0=784 1=4 2=2
Permute box_perm 1 1 box_view box_perm 0=2
Softmax box_soft 1 1 box_perm box_soft 0=0 1=1
Convolution dfl 1 1 box_soft dfl 0=1 1=1 5=0 6=4
Reshape box_flat 1 1 dfl box_flat 0=784 1=2
MemoryData anchors 0 1 anchors 0=784 1=2
BinaryOp sub 2 1 anchors box_flat sub 0=1
Sigmoid sigmoid 1 1 cls sigmoid
Concat out 2 1 sub sigmoid out0 0=0
""",
    "yolov5-focus": """
Input images 0 1 images
YoloV5Focus focus 1 1 images focus
Convolution c1 1 1 focus c1 0=8 1=3 4=1 5=1 6=864
Swish silu 1 1 c1 silu
Convolution c2 1 1 silu c2 0=6 1=1 5=1 6=48
Permute out 1 1 c2 output 0=1
""",
    "transformer": """
Input in0 0 1 in0
LayerNorm ln 1 1 in0 ln 0=16 1=0.000001 2=1
Split s1 1 2 ln ln_0 ln_1
MultiHeadAttention mha 1 1 ln_0 mha 0=16 1=2 2=256
BinaryOp add 2 1 ln_1 mha add 0=0
Split s2 1 2 add add_0 add_1
Gemm up 1 1 add_0 up 10=4 2=0 3=1 4=0 5=1 6=1 7=0 8=32 9=16
GELU gelu 1 1 up gelu
InnerProduct down 1 1 gelu down 0=16 1=1 2=512
BinaryOp add2 2 1 add_1 down add2 0=0
Crop cls 1 1 add2 cls -23310=1,1 -23311=1,0 -23309=1,0
Reshape flat 1 1 cls flat 0=16
InnerProduct head 1 1 flat out0 0=5 1=1 2=80
""",
    "decoder": """
Input in0 0 1 in0
Input kv_cache 0 2 cache_k0 cache_v0
RMSNorm rms 1 1 in0 rms 0=16 1=0.000001 2=1
Split s1 1 3 rms rms_0 rms_1 rms_2
Gemm q 1 1 rms_0 q 10=4 2=0 3=1 4=0 5=1 6=1 7=0 8=16 9=16
Gemm k 1 1 rms_1 k 10=4 2=0 3=1 4=0 5=1 6=1 7=0 8=16 9=16
Gemm v 1 1 rms_2 v 10=4 2=0 3=1 4=0 5=1 6=1 7=0 8=16 9=16
Reshape q_view 1 1 q q_view 0=8 1=2 2=-1
Permute q_perm 1 1 q_view q_perm 0=2
Reshape k_view 1 1 k k_view 0=8 1=2 2=-1
Permute k_perm 1 1 k_view k_perm 0=2
Reshape v_view 1 1 v v_view 0=8 1=2 2=-1
Permute v_perm 1 1 v_view v_perm 0=2
SDPA sdpa 5 3 q_perm k_perm v_perm cache_k0 cache_v0 sdpa out_k0 out_v0 5=0 6=0.35 7=1
Noop silence 2 0 out_k0 out_v0
Permute back 1 1 sdpa back 0=2
Reshape flat 1 1 back flat 0=16 1=-1
Gemm out 1 1 flat out0 10=-1 2=0 3=1 4=0 5=1 6=1 7=0 8=16 9=16
""",
    "lstm-with-state": """
Input in0 0 1 in0
Input in1 0 1 in1
Input in2 0 1 in2
LSTM lstm 3 3 in0 in1 in2 lstm h c 0=8 1=512 2=0
Concat state 2 1 h c out1 0=0
InnerProduct fc 1 1 lstm out0 0=4 1=1 2=32 9=4
""",
    "style-transfer": """
Input in0 0 1 in0
Padding pad 1 1 in0 pad 0=1 1=1 2=1 3=1 4=2 5=0.0
Convolution c1 1 1 pad c1 0=8 1=3 5=1 6=216
InstanceNorm in 1 1 c1 in 0=8 1=0.00001
ReLU relu 1 1 in relu
Split s1 1 2 relu relu_0 relu_1
Convolution c2 1 1 relu_0 c2 0=8 1=3 4=1 5=1 6=576
GroupNorm gn 1 1 c2 gn 0=2 1=8 2=0.00001
BinaryOp add 2 1 gn relu_1 add 0=0
Convolution c3 1 1 add c3 0=12 1=1 5=1 6=96
PixelShuffle ps 1 1 c3 ps 0=2
UnaryOp tanh 1 1 ps tanh 0=16
BinaryOp mul 1 1 tanh out0 0=2 1=1 2=255.0
""",
}
"""The lines of each model, without the first two."""

INT8_KIND = """
Input data 0 1 data 0=24 1=24 2=3
Convolution c1 1 1 data c1 0=8 1=3 3=2 5=1 6=216 8=102 9=1
Convolution c2 1 1 c1 c2 0=8 1=1 5=1 6=64 8=102 9=1
ConvolutionDepthWise c3 1 1 c2 c3 0=8 1=3 4=1 5=1 6=72 7=8 8=101 9=1
Convolution c4 1 1 c3 c4 0=8 1=3 4=1 5=1 6=576 8=2
Pooling pool 1 1 c4 pool 0=1 4=1
InnerProduct fc 1 1 pool fc 0=10 1=1 2=80 8=2
Softmax prob 1 1 fc prob
"""
"""A model that is in int8 already, as Tencent/ncnn's benchmark has them."""


def write(lines: str, param: Path) -> Path:
    """Write a .param file; return it."""
    rows = lines.strip().splitlines()
    blobs = sum(int(row.split()[3]) for row in rows)
    param.write_text("\n".join(["7767517", f"{len(rows)} {blobs}", *rows, ""]))
    return param
