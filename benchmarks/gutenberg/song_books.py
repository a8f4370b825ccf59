"""The song books, in the order in which duplicates are searched."""

from functools import partial

from benchmarks.gutenberg import hymnals
from benchmarks.gutenberg.books import SongBook
from benchmarks.gutenberg.moore import parse_moore
from benchmarks.gutenberg.poems import parse_poems

BOOKS: tuple[SongBook, ...] = (
    *hymnals.BOOKS,
    SongBook(
        id="pg22515",
        title="The Modern Scottish Minstrel",
        repository="GITenberg/The-Modern-Scottish-Minstrel-Volumes-I-VI.The-Songs-of-Scotland-of-the-Past-Half-Century_22515",
        commit="06aa2fed1ac6f3ce5c9a6fd21aead95d62f725c6",
        files=(
            ("22515-h/vol_i.html", "1900f54d59d69a26f66fb9ce76020776faa2e2fcfe60feeb5710bc04b3d22bf5"),
            ("22515-h/vol_ii.html", "8a5faabaf9bc6ff1772a3731dd2ed263b90c7ddb6d6b463043667b3cfee3dfe4"),
            ("22515-h/vol_iii.html", "6121934afd48fa4adc8d271305f085d7f67dd6c48cce2eadaf4dcc4cb63a2b0b"),
            ("22515-h/vol_iv.html", "9b0d27f280411edb9383c10b4099f08d25aa384bb92dad9d29968f98fa6d2649"),
            ("22515-h/vol_v.html", "a07b259575cf846aa08010464f5ae6a3dde4f4ad161a41458a0ef3f1de5df36d"),
            ("22515-h/vol_vi.html", "f5426bd1f1c8215112bd32c718a393739e07426cf3a1989506091f9653ba335c"),
        ),
        year=1855,
        parse=partial(parse_poems, artist="Scottish song writers"),
    ),
    SongBook(
        id="pg44593",
        title="The Oxford Book of Ballads",
        repository="GITenberg/The-Oxford-Book-of-Ballads_44593",
        commit="0de2639fd1aef98974cd472f363d0cbf0e5649f0",
        files=(("44593-h/44593-h.htm", "00b43664f5926397291dfc26642ea054cb1b49b639182a8474a9cafcf1e324a9"),),
        year=1910,
        parse=partial(parse_poems, artist="Traditional (ballad)"),
    ),
    SongBook(
        id="pg1279",
        title="Poems and Songs of Robert Burns",
        repository="GITenberg/Poems-and-Songs-of-Robert-Burns_1279",
        commit="c41723e0152e2e5b78025b0e08221f64bcda70ff",
        files=(("1279-h/1279-h.htm", "88e569508778e0fcf7808cd5602bd76c7247bee897729f1aa4bad7d5cec0cb92"),),
        year=1796,
        parse=partial(parse_poems, artist="Robert Burns"),
    ),
    SongBook(
        id="pg8187",
        title="The Complete Poems of Sir Thomas Moore",
        repository="GITenberg/The-Complete-Poems-of-Sir-Thomas-Moore-Collected-by-Himself-with-Explanatory-Notes_8187",
        commit="1cde44e2ceacd4fab73d35e6a76a584f9438630b",
        files=(("8187-8.txt", "367da95d69d3fbc8fdef854820bc5fd8174543b8f043426b7e0f1a6a84fe9d68"),),
        year=1841,
        parse=parse_moore,
    ),
    SongBook(
        id="pg40048",
        title="The Newcastle Song Book; or, Tyne-Side Songster",
        repository="GITenberg/The-Newcastle-Song-Bookor-Tyne-Side-Songster_40048",
        commit="ee87d413af488a775e4448c38a54a96f94e84865",
        files=(("40048-h/40048-h.htm", "668fb21076de1db9bea34ca209c3449613b42a208215270c0156862235226e78"),),
        year=1842,
        parse=partial(parse_poems, artist="Tyne-Side Songster"),
    ),
    SongBook(
        id="pg54452",
        title="The Bab Ballads, with Songs of a Savoyard",
        repository="GITenberg/The-Bab-Ballads-With-Which-are-Included-Songs-of-a-Savoyard_54452",
        commit="6286f00e34e560d613c2335d250708091759afeb",
        files=(("54452-h/54452-h.htm", "039e81d088d97ac38b8835c6f625cd0485bda8f6d011ac9a43506540c7820c1b"),),
        year=1898,
        parse=partial(parse_poems, artist="W. S. Gilbert"),
    ),
    SongBook(
        id="pg53824",
        title="Heart Songs (Jean Blewett)",
        repository="GITenberg/Heart-Songs_53824",
        commit="62bc95f047b8cf011a4dad9a8024b9b87c20da9b",
        files=(("53824-h/53824-h.htm", "4841bd47cc7bc41bcfa11c99098e0133d88ade92f5ed66eee78f5e8af134d971"),),
        year=1897,
        parse=partial(parse_poems, artist="Jean Blewett"),
    ),
    SongBook(
        id="pg32415",
        title="The Nursery Rhymes of England",
        repository="GITenberg/The-Nursery-Rhymes-of-England_32415",
        commit="9876610282abe3edf9b4f04ba4d6091fcb3a54f9",
        files=(("32415-h/32415-h.htm", "a0667866e79c05164fda828ab9bbc0844faf7fd652c4bc1d4741aab7437df416"),),
        year=1886,
        parse=partial(parse_poems, artist="Traditional (nursery rhyme)"),
    ),
    SongBook(
        id="pg22089",
        title="The Liberty Minstrel",
        repository="GITenberg/The-Liberty-Minstrel_22089",
        commit="2c4d1e3a8c74703a3a38883a6f37ae11175656e9",
        files=(("22089-h/22089-h.htm", "69e030a6de130850f97549a6389b6efaaa13b9de023c4a92b72ec815d937fd03"),),
        year=1844,
        parse=partial(parse_poems, artist="The Liberty Minstrel"),
    ),
)
