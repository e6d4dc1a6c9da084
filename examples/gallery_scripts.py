"""Maps of texts in many scripts, made by hand: the package can typeset any text.

    python examples/gallery_scripts.py [FOLDER]

Draws each as a PNG file into the folder (``docs/figures/scripts`` by default). Characters without a glyph in
Matplotlib's own fonts need a system font; docs/scripts.md lists which.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import hf_saliency as hs
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.spans import Token

# Name: tokens as a tokenizer may cut the text (separated by "|"), the explained token's index, the answers.
_TEXTS = {
    "literal": (
        r"It| costs| $5| or| $6_{x}|,| 100|%| of| \alpha| {|a|}| ~|#1| & | ^2| <b>|.",
        9,
        (r"\beta", "$x$", "{}"),
    ),
    "accents": (
        "Dvořák| naïvely| a|te| cre\u0300me| bru\u0302le\u0301e| in| Málaga|,| Łódź| and| Hà| Nội| (z\u0323\u0307).",
        4,
        ("café", "pâté", "soufflé"),
    ),
    "chinese": (
        "语言|模型|的|预测|取决于|上下文|中|的|哪些|词|？|“|梯度|”|（|gradient|）|说明|了|这|一点|。",
        5,
        ("句子", "输入", "前文"),
    ),
    "japanese": (
        "この|モデル|の|予測|は|、|文|の中|の|どの|単|語|に|依存|し|て|いる|の|だろう|か|。|「|勾配|」|が|示|す|。",
        3,
        ("出力", "判断", "答え"),
    ),
    "korean": (
        "이| 모델|의| 예측|은| 문장|의| 어느| 단|어|에| 달려| 있|는|가|?| 기울|기|가| 보여| 준다|.",
        3,
        ("출력", "판단", "대답"),
    ),
    "arabic": (
        "تعتمد| الت|نبؤ|ات| على| كل|مات| السياق| (المدخلات)| بنسبة| 42|٪| في| نموذج| BERT| الكبير|.",
        7,
        ("النص", "الجملة", "المعنى"),
    ),
    "hebrew": (
        "החיזוי| של| המ|ודל| (BERT-base)| תלוי| ב|-12| מילים| מתוך| 3.5| מיליון|,| כך| ש|הקשר| חשוב|!",
        5,
        ("קשור", "נשען", "מבוסס"),
    ),
    "persian": (
        "این| مدل|\u200cها| نمی|\u200cتوانند| همه|\u200cی| واژه|\u200cها| را| ببینند|.",
        7,
        ("کلمه", "متن", "جمله"),
    ),
    "hebrew in english": (
        "The| Hebrew| word| שלום| (|shalom|,| שָׁל|וֹם|)| means| peace|.",
        3,
        ("אהבה", "מלך", "בית"),
    ),
    "devanagari": (
        "भाषा| मॉ|डल| की| भवि|ष्यवाणी| किन| शब्दों| पर| निर्|भर| करती| है|?",
        7,
        ("वाक्यों", "अक्षरों", "संदर्भ"),
    ),
    "thai": ("ผล|การ|ทำนาย|ของ|แบบ|จำลอง|ขึ้น|อยู่|กับ|คำ|ใด|ใน|ประโยค", 9, ("ส่วน", "สิ่ง", "ภาษา")),
    "emoji": (
        "great| 😀|😀| talk| 👍🏽| by| the| 👩\u200d💻| team| ❤\ufe0f| ☕| →| 🇫🇷|!",
        1,
        ("🎉", "🙂", "👏"),
    ),
    "hidden characters": (
        "pass|\u200bword|:|\tsecret|\x07| soft|\u00adhyphen| \u202eabc\u202c| a|\ufeff| b\u200dc| \u0301|\r\n|done"
        "|\u2028|.",
        3,
        ("token\u200b", "\u00a0", "\x00"),
    ),
    "many scripts": (
        "Ελληνικά|,| русский|,| հայերեն|,| ქართული|,| 中文|,| 日本語|,| 한국어|,| العربية|,| עברית|,| हिन्दी|,| ไทย|,"
        "| বাংলা|,| தமிழ்|.",
        8,
        ("漢字", "اردو", "Việt"),
    ),
}


def gallery_scripts() -> dict[str, hs.SaliencyMap]:
    """One map for each script or kind of text, with one target."""
    return {name: _map(number, *case) for number, (name, case) in enumerate(_TEXTS.items())}


def _map(seed: int, cut: str, position: int, answers: tuple[str, ...]) -> hs.SaliencyMap:
    pieces = cut.split("|")
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    tokens = []
    for piece, end in zip(pieces, ends, strict=True):
        inner = piece.lstrip(" ")
        tokens.append(Token(inner, end - len(inner), end))
    scores = np.random.default_rng(seed).uniform(0, 1, (1, len(tokens))) ** 2
    predictions = tuple(Prediction(each, i, 0.55 / (i + 1)) for i, each in enumerate(answers))
    target = TargetRow(tokens[position].piece, position, 3.0, masked=True, predictions=predictions)
    return hs.SaliencyMap(("".join(pieces),), tuple(tokens), (target,), scores, "gradient_norm")


def main(folder: Path) -> None:
    """Draw each map."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in gallery_scripts().items():
        hs.figure(one, width=3.25, title=name).savefig(folder / f"{name.replace(' ', '_')}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/figures/scripts"))
